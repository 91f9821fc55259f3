// Durable files over POSIX calls.
#include "core/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "core/error.h"

namespace moat::core {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void Fail(const std::string& action, const fs::path& path, int error) {
  std::string hint;
  if (error == ENOSPC || error == EDQUOT) hint = ": free some space or choose another directory";
  if (error == EACCES || error == EROFS)
    hint = ": check the permissions, or choose another directory";
  throw StorageError("cannot " + action + " " + path.string() + ": " + std::strerror(error) + hint);
}

fs::path ParentOf(const fs::path& path) {
  const fs::path parent = path.parent_path();
  return parent.empty() ? fs::path(".") : parent;
}

}  // namespace

FileWriter::FileWriter(const fs::path& path, Sharing sharing)
    : path_(path),
      fd_(open(path.c_str(), O_WRONLY | O_CREAT | (sharing == kShared ? 0 : O_TRUNC) | O_CLOEXEC,
               0644)) {
  if (fd_ < 0) Fail("create", path, errno);
}

FileWriter::~FileWriter() {
  if (fd_ >= 0) close(fd_);
}

FileWriter::FileWriter(FileWriter&& other) noexcept
    : path_(std::move(other.path_)), fd_(other.fd_), written_(other.written_) {
  other.fd_ = -1;
}

void FileWriter::Write(const void* data, size_t size) {
  const auto* p = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t n = write(fd_, p, size);
    if (n < 0) {
      if (errno == EINTR) continue;
      Fail("write", path_, errno);
    }
    p += n;
    size -= static_cast<size_t>(n);
    written_ += n;
  }
}

void FileWriter::Seek(int64_t offset) {
  if (lseek(fd_, offset, SEEK_SET) < 0) Fail("seek", path_, errno);
}

void FileWriter::SetSize(int64_t bytes) {
  if (ftruncate(fd_, bytes) != 0) Fail("resize", path_, errno);
}

void FileWriter::SyncAndClose() {
  if (fsync(fd_) != 0) Fail("sync", path_, errno);
  const int fd = fd_;
  fd_ = -1;
  if (close(fd) != 0) Fail("close", path_, errno);
}

FileReader::FileReader(const fs::path& path)
    : path_(path), fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (fd_ < 0) Fail("open", path, errno);
  struct stat status;
  const bool known = fstat(fd_, &status) == 0;
  if (!known || S_ISDIR(status.st_mode)) {
    const int error = known ? EISDIR : errno;
    close(fd_);
    Fail("read", path, error);
  }
  size_ = status.st_size;
}

FileReader::~FileReader() {
  if (fd_ >= 0) close(fd_);
}

FileReader::FileReader(FileReader&& other) noexcept
    : path_(std::move(other.path_)), fd_(other.fd_), size_(other.size_) {
  other.fd_ = -1;
}

FileReader& FileReader::operator=(FileReader&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(fd_, other.fd_);
  std::swap(size_, other.size_);
  return *this;
}

void FileReader::ReadAt(int64_t offset, void* data, size_t size) const {
  auto* p = static_cast<char*>(data);
  size_t done = 0;
  while (done < size) {
    const ssize_t n = pread(fd_, p + done, size - done, offset + static_cast<int64_t>(done));
    if (n < 0) {
      if (errno == EINTR) continue;
      Fail("read", path_, errno);
    }
    if (n == 0) {
      throw StorageError(path_.string() + " ends early: expected " + std::to_string(size) +
                         " bytes at offset " + std::to_string(offset) + ", found " +
                         std::to_string(done) + "; the file is truncated");
    }
    done += static_cast<size_t>(n);
  }
}

std::string ReadWholeFile(const fs::path& path) {
  const FileReader reader(path);
  std::string bytes(static_cast<size_t>(reader.size()), '\0');
  reader.ReadAt(0, bytes.data(), bytes.size());
  return bytes;
}

void WriteFileAtomically(const fs::path& path, std::string_view bytes, int mode) {
  const fs::path temporary =
      ParentOf(path) / ("." + path.filename().string() + ".tmp-" + std::to_string(getpid()));
  try {
    FileWriter writer(temporary);
    if (chmod(temporary.c_str(), static_cast<mode_t>(mode)) != 0) {
      Fail("set the mode of", temporary, errno);
    }
    writer.Write(bytes);
    writer.SyncAndClose();
    RenameDurably(temporary, path);
  } catch (...) {
    unlink(temporary.c_str());
    throw;
  }
}

void SyncFile(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) Fail("open", path, errno);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  if (result != 0) Fail("sync", path, error);
}

void SyncDirectory(const fs::path& path) { SyncFile(path); }

void RenameDurably(const fs::path& from, const fs::path& to) {
  if (rename(from.c_str(), to.c_str()) != 0) Fail("rename to", to, errno);
  SyncDirectory(ParentOf(to));
  if (ParentOf(from) != ParentOf(to)) SyncDirectory(ParentOf(from));
}

void MakeDirectories(const fs::path& path) {
  std::error_code error;
  std::vector<fs::path> parents;  // of those that are made
  for (fs::path made = fs::absolute(path); !fs::exists(made, error) && !error;) {
    made = made.parent_path();
    parents.push_back(made);
  }
  fs::create_directories(path, error);
  if (error) Fail("create the directory", path, error.value());
  if (!fs::is_directory(path)) Fail("create the directory", path, ENOTDIR);
  for (const fs::path& parent : parents) {
    if (access(parent.c_str(), R_OK) == 0) SyncDirectory(parent);  // one may write without reading
  }
}

}  // namespace moat::core
