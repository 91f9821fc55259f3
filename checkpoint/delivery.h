// Delivery: filling the ranks' slices from files that some of them can read.
//
// Each piece is read and checked by one rank of a node and sent on to the others there that want
// some of it; a piece that no rank of a node can read comes from another node. So each byte crosses
// the file system once per node, however many replicas live there. Ranks read side by side, in
// rounds of one stretch each.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace moat::checkpoint {

// Where a file of a checkpoint lies, and which ranks of the world can read it there.
struct FilePlace {
  std::filesystem::path directory;
  std::vector<int> readers = {};  // at least one; empty: all
};
using FilePlaces = std::map<std::string, FilePlace>;  // by name of the file

// Every file of the manifest in one directory that all ranks see.
FilePlaces AllIn(const std::filesystem::path& directory, const Manifest& manifest);

// Collective over `world`, with the same manifest and places on all ranks: fills what each wants
// from the pieces that overlap it. All ranks throw the same error, the first rank's, where any
// fails: DataError naming tensor and file where bytes are damaged, and both shapes or dtypes where
// they differ; StorageError where the disk fails. The memory is of no use then.
void Deliver(const Manifest& manifest, const FilePlaces& places,
             const std::vector<SliceToLoad>& wanted, comm::Communicator& world);

}  // namespace moat::checkpoint
