// Copying: temporary directory, fsync, rename, fsync of the parent.
#include "checkpoint/copy.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "checkpoint/file_check.h"
#include "core/error.h"
#include "core/fault.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

// The kernel's lock on a directory, which ends with this process: two copies never share one.
class DirectoryLock {
 public:
  explicit DirectoryLock(const fs::path& directory)
      : fd_(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    const int failed = fd_ < 0 ? errno : 0;
    if (failed != 0) {
      throw core::StorageError("cannot open " + directory.string() + ": " + std::strerror(failed));
    }
    if (flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
    close(fd_);
    throw core::ConfigError("another copy is being written to " + directory.string() +
                            "; wait until it is done");
  }
  ~DirectoryLock() { close(fd_); }
  DirectoryLock(const DirectoryLock&) = delete;

 private:
  int fd_;
};

std::vector<std::pair<std::string, const Piece*>> PiecesOf(const Manifest& manifest,
                                                           const std::string& file) {
  std::vector<std::pair<std::string, const Piece*>> pieces;
  for (const auto& [name, tensor] : manifest.tensors) {
    for (const Piece& piece : tensor.pieces) {
      if (piece.file == file) pieces.push_back({name, &piece});
    }
  }
  std::sort(pieces.begin(), pieces.end(),
            [](const auto& a, const auto& b) { return a.second->offset < b.second->offset; });
  return pieces;
}

// Header and pieces tile the file. A piece that proves damaged ends the copy.
void CopyFile(const fs::path& from, const fs::path& to, const std::string& name,
              const Manifest& manifest) {
  const FileEntry& entry = manifest.files.at(name);
  const core::FileReader reader = OpenChecked(from, name, entry);
  core::FileWriter writer(to / name);
  std::string header(static_cast<size_t>(entry.header_bytes), '\0');
  reader.ReadAt(0, header.data(), header.size());
  writer.Write(header);
  for (const auto& [tensor, piece] : PiecesOf(manifest, name)) {
    CheckPiece(reader, tensor, *piece, [&](const char* data, int64_t bytes) {
      writer.Write(data, static_cast<size_t>(bytes));
    });
  }
  core::FaultPoint("checkpoint.copying");
  writer.SyncAndClose();
}

void CopyInto(const fs::path& temporary, const fs::path& from, const Manifest& manifest) {
  for (const fs::directory_entry& left : fs::directory_iterator(temporary)) {
    fs::remove_all(left.path());
  }
  for (const auto& [name, entry] : manifest.files) CopyFile(from, temporary, name, manifest);
  core::FileWriter writer(temporary / kManifestName);
  writer.Write(core::ReadWholeFile(from / kManifestName));
  writer.SyncAndClose();
  core::SyncDirectory(temporary);
}

void RefuseTaken(const fs::path& target) {
  std::error_code ignored;
  if (!fs::exists(target, ignored)) return;
  throw core::ConfigError(target.string() +
                          " exists already, and a checkpoint is never overwritten; copy to another "
                          "directory, or remove it first");
}

}  // namespace

CopyReport Copy(const fs::path& from, const fs::path& to) {
  const Manifest manifest = ReadManifest(from);
  const fs::path name = fs::absolute(from / ".").lexically_normal().parent_path().filename();
  CopyReport report{to / name};
  RefuseTaken(report.directory);
  const fs::path temporary = to / (kCopyPrefix + name.string());
  core::MakeDirectories(temporary);
  const DirectoryLock lock(temporary);
  RefuseTaken(report.directory);
  try {
    CopyInto(temporary, from, manifest);
    core::RenameDurably(temporary, report.directory);
  } catch (...) {
    std::error_code ignored;
    fs::remove_all(temporary, ignored);
    throw;
  }
  for (const auto& [file, entry] : manifest.files) {
    ++report.files;
    report.bytes += entry.bytes;
  }
  return report;
}

}  // namespace moat::checkpoint
