// Saving and loading a run's state as slices of global tensors: any grid writes, any grid reads.
//
// Commit order of a save: each writer writes and fsyncs its safetensors file in
// ckpt/.tmp-<run>-<step>; all agree; rank 0 writes the manifest, fsyncs it and the directory,
// renames, fsyncs the parent; only then retention. What a killed save leaves, the run's next
// attempt removes. checkpoint/saver.h saves beside training.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/manifest/manifest.h"
#include "comm/communicator.h"

namespace moat::checkpoint {

// A box of a global tensor in this rank's memory, row-major. Where that is a device's it is read or
// written on `stream`, after what was given to it before; it is used by one thread at a time.
struct SliceToSave {
  std::string tensor;
  core::Shape global;
  parallel::Slice slice;
  tensor::ConstView data;
  tensor::Stream* stream = nullptr;     // not needed for host memory
  std::optional<uint32_t> crc32c = {};  // of what must be written, where that is known beforehand
};
struct SliceToLoad {
  std::string tensor;
  core::Shape global;
  parallel::Slice slice;
  tensor::View data;  // of the dtype that was saved
  tensor::Stream* stream = nullptr;
};

struct SaveOptions {
  std::filesystem::path root;         // runs/<name>/ckpt
  int keep = 2;                       // newest good steps kept of the run's line; at least 2
  std::vector<int64_t> protect = {};  // steps retention never removes (the best one)
  int64_t keep_every = 0;             // steps that this divides stay; 0: none
  bool file_per_node = false;         // its ranks write one together; otherwise each its own
};

// Collective over `world`: one save, from begin to end. Together the ranks' slices must tile each
// named tensor exactly once (checked by rank 0 before the commit). Returns the committed directory.
// A valid directory of the same step is never rewritten: the new one becomes the next generation.
// If any rank fails, all throw the same StorageError with the first cause (BugError where slices do
// not tile), nothing half-written is left and what was committed before is untouched.
std::filesystem::path Save(const SaveOptions& options, const RunPosition& position,
                           const std::vector<SliceToSave>& slices, comm::Communicator& world);

// Reads every byte of every file and checks all CRCs. Throws DataError naming file and tensor.
void Verify(const std::filesystem::path& directory);

// Collective: the newest directory of the run's own line (checkpoint/manifest/line.h) that is
// intact, the same answer on all ranks. Rank 0 lists, the ranks share the reading of all bytes;
// damaged ones are passed over with a warning that says why. nullopt when there is none at all;
// throws StorageError when there are some and none is intact. Who is going to load all of it reads
// it only once with checkpoint/candidates.h and checkpoint/delivery.h.
std::optional<std::filesystem::path> ChooseNewest(const std::filesystem::path& root,
                                                  comm::Communicator& world);

// Not collective: checkpoint/delivery.h for one rank alone. Fills each wanted slice from the pieces
// that overlap it, checking the CRC of each piece on the way. Throws DataError naming tensor and
// file where one is damaged, and both shapes or dtypes where they differ; the memory is of no use
// then.
void Load(const std::filesystem::path& directory, const Manifest& manifest,
          const std::vector<SliceToLoad>& slices);

}  // namespace moat::checkpoint
