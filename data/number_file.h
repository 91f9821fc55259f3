// A temporary file of 64-bit numbers: appended from start to end, then read, removed with the
// object. What an import sets aside per interaction goes here and not into memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "core/durable_file.h"

namespace moat::data {

class NumberFile {
 public:
  // The file appears with the first numbers that do not fit the buffer, or with Close.
  explicit NumberFile(std::filesystem::path path);
  ~NumberFile();
  NumberFile(const NumberFile&) = delete;
  NumberFile& operator=(const NumberFile&) = delete;

  void Append(std::span<const uint64_t> numbers);
  void Close();  // once, before reading; not synced: the file is of no use after a crash

  int64_t size() const { return size_; }  // numbers
  // REQUIRES: closed, and they exist. Safe to use from several threads.
  void ReadAt(int64_t first, std::span<uint64_t> numbers) const;

 private:
  void Flush();

  std::filesystem::path path_;
  std::vector<uint64_t> buffer_;
  int64_t size_ = 0;
  std::optional<core::FileWriter> writer_;
  std::optional<core::FileReader> reader_;
};

// Reads numbers [first, end) of a closed NumberFile one after the other.
class NumberReader {
 public:
  NumberReader(const NumberFile& file, int64_t first, int64_t end, size_t buffer_numbers);

  // The next numbers; false at the end. REQUIRES: as many are left, or none.
  bool Next(std::span<uint64_t> numbers);

 private:
  const NumberFile* file_;
  int64_t at_;  // of the file, behind the buffer
  int64_t end_;
  size_t buffer_numbers_;
  std::vector<uint64_t> buffer_;
  size_t in_buffer_ = 0;
};

}  // namespace moat::data
