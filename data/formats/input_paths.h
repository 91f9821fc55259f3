// From what --in names to the files it means.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace moat::data::formats {

// A path that exists, or standard input, is itself; else a pattern of the shell's kind (*, ?, [])
// means what matches it, sorted. Throws ConfigError for what is neither.
std::vector<std::string> ExpandGlob(const std::string& in);

// The files below a directory that is read as records, sorted; nullopt for one that is read as a
// tree of texts. With format "auto" it is read as records if every file is one of records by its
// name (JSON or tables; hidden files, README and LICENSE do not count) and it has no .git; "tree"
// never is; any other format always, and ConfigError says when it holds no such file.
// `excluded`: see ListTree.
std::optional<std::vector<std::filesystem::path>> RecordFilesOf(
    const std::filesystem::path& directory, const std::string& format,
    const std::vector<std::filesystem::path>& excluded);

}  // namespace moat::data::formats
