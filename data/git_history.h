// Imports a git repository's history: one interaction per commit and file, from message to change.
//
// Segments: system = the path, user = the commit message, assistant = the change as unified diff
// hunks. user = the author's email, time = the commit's. Commits without a diff of their own
// (merges), binary files, renames without a change and submodules give nothing.
//
// A text is read once. The diff that creates a file is its whole text behind plus signs: where the
// work tree still has exactly that text, the interaction is path, message, text (as a text segment,
// without a diff's marks), and the work tree's copy is not read again. Otherwise the work tree's
// text, as it is now, stands alone, and the creation is left out and counted; so is the diff that
// deletes a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "data/file_tree.h"
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
// `files` is the work tree. Returns the paths of those whose text was given. Changes of more than
// `max_bytes` are skipped and counted. Throws DataError when git fails.
std::set<std::string> ImportGitHistory(const std::filesystem::path& directory,
                                       const std::vector<TreeFile>& files, int64_t max_bytes,
                                       ImportSink* sink);

}  // namespace moat::data
