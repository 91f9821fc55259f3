// Imports files as text: one interaction per file, system = its path, text = its content.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/import_sink.h"

namespace moat::data {

struct TreeFile {
  std::string path;  // relative to the tree
  int64_t bytes = 0;
  int64_t modified_ns = 0;  // since the file clock's epoch; only differences mean something
};

// Regular files below `directory`, sorted by path: in a git work tree those git tracks or would
// track, else all but .git folders. Symbolic links are not followed. `excluded` (absolute
// directories) are left out: the data set being written may lie inside its own input.
std::vector<TreeFile> ListTree(const std::filesystem::path& directory, bool git_work_tree,
                               const std::vector<std::filesystem::path>& excluded);

// Reads the listed files. Empty ones, binary ones (a NUL byte) and those above `max_bytes` are
// skipped and counted; so are files that cannot be opened.
void ImportTree(const std::filesystem::path& directory, const std::vector<TreeFile>& files,
                int64_t max_bytes, ImportSink* sink);

// One file by itself, decompressed, under the same rules; its path is its name.
void ImportTextFile(const std::filesystem::path& file, int64_t max_bytes, ImportSink* sink);

}  // namespace moat::data
