// Files that survive power loss: nothing exists under its name until it is complete and on the
// disk.
//
// The order is always: write to a temporary name, fsync, close, rename, fsync the directory. Errors
// are StorageError and name the path, what was tried, and errno's text; a full disk says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace moat::core {

// An owned file descriptor open for writing. The destructor closes without syncing (the file was
// abandoned).
class FileWriter {
 public:
  enum Sharing { kAlone, kShared };

  // Creates or truncates `path`; kShared: keeps what is there, for several that each write a part.
  explicit FileWriter(const std::filesystem::path& path, Sharing sharing = kAlone);
  ~FileWriter();
  FileWriter(FileWriter&& other) noexcept;
  FileWriter& operator=(FileWriter&&) = delete;

  void Write(const void* data, size_t size);  // all of it, or throws
  void Write(std::string_view bytes) { Write(bytes.data(), bytes.size()); }
  int64_t written() const { return written_; }
  void Seek(int64_t offset);    // the next Write() begins there
  void SetSize(int64_t bytes);  // what is not written yet reads as zeros; more than that is cut off
  void SyncAndClose();          // fsync, close; call once when complete

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  int64_t written_ = 0;
};

// A file open for reading at offsets; safe to use from several threads.
class FileReader {
 public:
  explicit FileReader(const std::filesystem::path& path);
  ~FileReader();
  FileReader(FileReader&& other) noexcept;
  FileReader& operator=(FileReader&& other) noexcept;

  int64_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }
  // Exactly `size` bytes from `offset`, or throws (a short file says how many bytes there were).
  void ReadAt(int64_t offset, void* data, size_t size) const;

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

std::string ReadWholeFile(const std::filesystem::path& path);

// Replaces `path` by `bytes`, durably and atomically: a reader sees the old file or the new one.
void WriteFileAtomically(const std::filesystem::path& path, std::string_view bytes,
                         int mode = 0644);

void SyncFile(const std::filesystem::path& path);       // fsync of an existing file
void SyncDirectory(const std::filesystem::path& path);  // fsync of a directory

// rename(2), then fsync of the target's directory (and of the source's, where it is another).
void RenameDurably(const std::filesystem::path& from, const std::filesystem::path& to);

// Creates a directory and its parents, durably; an existing one is fine, a file in the way is an
// error.
void MakeDirectories(const std::filesystem::path& path);

}  // namespace moat::core
