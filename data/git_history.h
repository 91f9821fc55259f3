// Imports a git repository's history: one interaction per commit and file, from message to change.
//
// Segments: system = the path, user = the commit message, assistant = the change as unified diff
// hunks. user = the author's email, time = the commit's. Commits without a diff of their own
// (merges), binary files, renames without a change and submodules give nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "data/import_sink.h"

namespace moat::data {

// What git says about a directory.
struct GitWorkTree {
  bool inside = false;  // of a work tree that git can read
  std::string head;     // commit; "": none yet
};

// Throws ConfigError when there is a .git in `directory` that git refuses, with git's own words.
GitWorkTree InspectGit(const std::filesystem::path& directory);

// Reads history oldest first; only changes below `directory`, whose paths are relative to it.
// Changes of more than `max_bytes` are skipped and counted. Throws DataError when git fails.
void ImportGitHistory(const std::filesystem::path& directory, int64_t max_bytes, ImportSink* sink);

}  // namespace moat::data
