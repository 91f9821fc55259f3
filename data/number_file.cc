// Buffers around a file that is written and read as the machine holds its numbers.
#include "data/number_file.h"

#include <algorithm>
#include <system_error>

#include "core/error.h"

namespace moat::data {
namespace {

constexpr size_t kBufferNumbers = 128 << 10;

}  // namespace

NumberFile::NumberFile(std::filesystem::path path) : path_(std::move(path)) {}

NumberFile::~NumberFile() {
  std::error_code ignored;
  if (writer_ || reader_) std::filesystem::remove(path_, ignored);
}

void NumberFile::Append(std::span<const uint64_t> numbers) {
  size_ += static_cast<int64_t>(numbers.size());
  buffer_.insert(buffer_.end(), numbers.begin(), numbers.end());
  if (buffer_.size() >= kBufferNumbers) Flush();
}

void NumberFile::Flush() {
  if (!writer_) writer_.emplace(path_);
  writer_->Write(buffer_.data(), buffer_.size() * sizeof(uint64_t));
  buffer_.clear();
}

void NumberFile::Close() {
  Flush();
  reader_.emplace(path_);
  writer_.reset();
  buffer_.shrink_to_fit();
}

void NumberFile::ReadAt(int64_t first, std::span<uint64_t> numbers) const {
  reader_->ReadAt(first * static_cast<int64_t>(sizeof(uint64_t)), numbers.data(),
                  numbers.size_bytes());
}

NumberReader::NumberReader(const NumberFile& file, int64_t first, int64_t end,
                           size_t buffer_numbers)
    : file_(&file), at_(first), end_(end), buffer_numbers_(buffer_numbers) {}

bool NumberReader::Next(std::span<uint64_t> numbers) {
  for (size_t taken = 0; taken < numbers.size();) {
    if (in_buffer_ == buffer_.size()) {
      if (at_ == end_) {
        if (taken > 0) throw core::BugError("numbers that end within a record");
        return false;
      }
      buffer_.resize(std::min(buffer_numbers_, static_cast<size_t>(end_ - at_)));
      file_->ReadAt(at_, buffer_);
      at_ += static_cast<int64_t>(buffer_.size());
      in_buffer_ = 0;
    }
    const size_t take = std::min(numbers.size() - taken, buffer_.size() - in_buffer_);
    std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>(in_buffer_), take,
                numbers.begin() + static_cast<std::ptrdiff_t>(taken));
    in_buffer_ += take;
    taken += take;
  }
  return true;
}

}  // namespace moat::data
