// Globs through the C library, directories through their listing.
#include "data/formats/input_paths.h"

#include <glob.h>

#include <algorithm>

#include "core/error.h"
#include "data/file_tree.h"
#include "data/formats/byte_source.h"
#include "data/formats/file_kind.h"

namespace moat::data::formats {
namespace {

namespace fs = std::filesystem;

bool Counts(const std::string& name) {
  return !name.starts_with(".") && !name.starts_with("README") && !name.starts_with("LICENSE");
}

// Whether a directory read in this format reads a file of this name.
bool Belongs(const std::string& name, const std::string& format) {
  const FileKind kind = KindByName(name);
  if (format == "hdf5") return kind == FileKind::kTokens;
  if (format == "csv") return kind == FileKind::kCsv;
  if (format == "tsv") return kind == FileKind::kTsv;
  if (format == "lines") return true;
  return kind == FileKind::kJson || kind == FileKind::kCsv || kind == FileKind::kTsv;
}

}  // namespace

std::vector<std::string> ExpandGlob(const std::string& in) {
  std::error_code error;
  if (in == kStandardInput || fs::exists(in, error)) return {in};
  if (in.find_first_of("*?[") == std::string::npos) {
    throw core::ConfigError("--in=" + in + ": there is no such file or directory");
  }
  glob_t found{};
  const int status = glob(in.c_str(), GLOB_NOSORT, nullptr, &found);
  std::vector<std::string> paths;
  if (status == 0) paths.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  if (paths.empty()) throw core::ConfigError("--in=" + in + ": no file matches it");
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::optional<std::vector<fs::path>> RecordFilesOf(const fs::path& directory,
                                                   const std::string& format,
                                                   const std::vector<fs::path>& excluded) {
  const bool automatic = format == "auto";
  if (format == "tree" || (automatic && fs::exists(directory / ".git"))) return std::nullopt;
  std::vector<fs::path> files;
  for (const TreeFile& file : ListTree(directory, false, excluded)) {
    const std::string name = fs::path(file.path).filename().string();
    if (!Counts(name)) continue;
    if (Belongs(name, format)) {
      files.push_back(directory / file.path);
    } else if (automatic) {
      return std::nullopt;
    }
  }
  if (!files.empty()) return files;
  if (automatic) return std::nullopt;
  throw core::ConfigError("--in=" + directory.string() +
                          ": no file in it is one that --format=" + format + " reads, by its name");
}

}  // namespace moat::data::formats
