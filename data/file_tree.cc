// File trees: listing is separate from reading, since the listing also identifies the input.
#include "data/file_tree.h"

#include <algorithm>
#include <limits>

#include "core/durable_file.h"
#include "core/error.h"
#include "data/child_process.h"
#include "data/formats/byte_source.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTooLarge = "files skipped: larger than --max_file_bytes";

bool Inside(const fs::path& path, const std::vector<fs::path>& excluded) {
  return std::any_of(excluded.begin(), excluded.end(), [&](const fs::path& directory) {
    const auto [at, end] =
        std::mismatch(directory.begin(), directory.end(), path.begin(), path.end());
    return at == directory.end();
  });
}

std::vector<std::string> GitFiles(const fs::path& directory) {
  ChildProcess child({"git", "-C", directory.string(), "-c", "core.fsmonitor=false", "ls-files",
                      "-z", "--cached", "--others", "--exclude-standard"});
  std::vector<std::string> paths;
  std::string path;
  while (child.ReadUntil('\0', &path, std::numeric_limits<size_t>::max())) paths.push_back(path);
  const int status = child.Wait();
  if (status != 0) {
    throw core::DataError(directory.string() + ": git ls-files ended with " +
                          std::to_string(status) + ": " + child.ErrorText());
  }
  return paths;
}

std::vector<std::string> WalkedFiles(const fs::path& directory,
                                     const std::vector<fs::path>& excluded) {
  std::vector<std::string> paths;
  std::error_code error;
  fs::recursive_directory_iterator walk(directory, fs::directory_options::skip_permission_denied,
                                        error);
  for (; !error && walk != fs::recursive_directory_iterator(); walk.increment(error)) {
    const fs::path& path = walk->path();
    if (walk->is_directory(error) && (path.filename() == ".git" || Inside(path, excluded))) {
      walk.disable_recursion_pending();
      continue;
    }
    paths.push_back(path.lexically_relative(directory).string());
  }
  if (error) throw core::DataError("cannot list " + directory.string() + ": " + error.message());
  return paths;
}

void AddText(const std::string& path, std::string content, int64_t max_bytes, ImportSink* sink) {
  if (content.empty()) return sink->Count("empty files skipped");
  if (static_cast<int64_t>(content.size()) > max_bytes) return sink->Count(kTooLarge);
  Interaction interaction;
  interaction.id = "file:" + path;
  interaction.path = path;
  if (content.find('\0') != std::string::npos) return sink->Count("binary files skipped");
  interaction.segments = {{Role::kSystem, 1.0f, path}, {Role::kText, 1.0f, std::move(content)}};
  sink->Add(std::move(interaction));
}

void ImportFile(const fs::path& file, const TreeFile& listed, int64_t max_bytes, ImportSink* sink) {
  if (listed.bytes > max_bytes) return sink->Count(kTooLarge);
  std::string content;
  try {
    content = core::ReadWholeFile(file);
  } catch (const core::StorageError&) {
    return sink->Count("files skipped: not readable");
  }
  AddText(listed.path, std::move(content), max_bytes, sink);
}

}  // namespace

std::vector<TreeFile> ListTree(const fs::path& directory, bool git_work_tree,
                               const std::vector<fs::path>& excluded) {
  std::vector<std::string> paths =
      git_work_tree ? GitFiles(directory) : WalkedFiles(directory, excluded);
  std::sort(paths.begin(), paths.end());
  paths.erase(std::unique(paths.begin(), paths.end()), paths.end());
  std::vector<TreeFile> files;
  for (const std::string& path : paths) {
    const fs::path full = directory / path;
    std::error_code error;
    if (!fs::is_regular_file(fs::symlink_status(full, error)) || Inside(full, excluded)) continue;
    TreeFile file{path, static_cast<int64_t>(fs::file_size(full, error)), 0};
    if (error) continue;  // gone since it was listed
    file.modified_ns = fs::last_write_time(full, error).time_since_epoch().count();
    files.push_back(std::move(file));
  }
  return files;
}

void ImportTree(const fs::path& directory, const std::vector<TreeFile>& files, int64_t max_bytes,
                ImportSink* sink) {
  for (const TreeFile& file : files) ImportFile(directory / file.path, file, max_bytes, sink);
}

void ImportTextFile(const fs::path& file, int64_t max_bytes, ImportSink* sink) {
  const auto source = formats::OpenBytes(file.string());
  std::string content;
  std::string buffer(64 << 10, '\0');
  while (static_cast<int64_t>(content.size()) <= max_bytes) {
    const size_t got = source->Read(buffer.data(), buffer.size());
    if (got == 0) break;
    content.append(buffer, 0, got);
  }
  AddText(file.filename().string(), std::move(content), max_bytes, sink);
}

}  // namespace moat::data
