// The files that ranks write into a checkpoint: one for each rank, or one for the ranks of a node
// together. Internal to checkpoint/.
#pragma once

#include <filesystem>
#include <stop_token>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors.h"

namespace moat::checkpoint {

// What lies in a file, in its order: larger elements first, so that every tensor is aligned.
struct FileLayout {
  struct Entry {
    SafetensorsEntry tensor;  // its place in the file is not filled in
    int writer = 0;           // a rank of the world
    size_t slice = 0;         // of the slices that the writer saves
  };
  std::string name;   // of the file
  int header_of = 0;  // the rank that writes the header
  std::vector<Entry> entries;
};

std::string RankFileName(int rank);  // "rank-00002.safetensors"

// `rank`'s own file, of the slices that have elements.
FileLayout LayoutAlone(const std::vector<SliceToSave>& slices, int rank);

// Collective over the ranks of a node: their one file, node-NNNNN.safetensors, by the number of the
// first of them.
FileLayout LayoutTogether(const std::vector<SliceToSave>& slices, comm::Communicator& node);

// What becomes of a file that is written: on a disk that must keep it, or where it need not outlive
// the power.
enum class WhenDone { kSync, kClose };

// Writes `rank`'s share of a file in `directory` and (kSync) syncs it; ranks may do so at the same
// time. Returns what the manifest needs to know of it: a manifest of that share, whose tensors are
// not whole. Tensors without elements are named all the same, and a file without any is not made.
// Throws StorageError: also where a slice is no longer what its CRC was taken of, and soon after
// `give_up` is asked for. REQUIRES: `slices` are as they were when the layout was made.
Manifest WriteShare(const std::filesystem::path& directory, const RunPosition& position,
                    const std::vector<SliceToSave>& slices, const FileLayout& layout, int rank,
                    const std::stop_token& give_up = {}, WhenDone done = WhenDone::kSync);

// A rank's own file, all of it.
inline Manifest WriteRankFile(const std::filesystem::path& directory, const RunPosition& position,
                              const std::vector<SliceToSave>& slices, int rank,
                              const std::stop_token& give_up = {}) {
  return WriteShare(directory, position, slices, LayoutAlone(slices, rank), rank, give_up);
}

}  // namespace moat::checkpoint
