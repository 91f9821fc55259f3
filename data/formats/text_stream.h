// Text as characters and lines, over a byte source.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "data/formats/byte_source.h"

namespace moat::data::formats {

// A record may be this long; what is longer is cut, which readers make a malformed record of.
constexpr size_t kMaxRecordBytes = 64 << 20;

class TextStream {
 public:
  // A byte order mark at the start is left out.
  explicit TextStream(std::unique_ptr<ByteSource> source);

  int Get() {  // the next byte, -1 at the end
    if (at_ == end_ && !Refill()) return -1;
    const char c = buffer_[at_++];
    line_ += c == '\n' ? 1 : 0;
    return static_cast<unsigned char>(c);
  }
  int Peek() { return at_ == end_ && !Refill() ? -1 : static_cast<unsigned char>(buffer_[at_]); }

  // A line without its line feed and a carriage return before it; false at the end. `too_long`:
  // the line was above kMaxRecordBytes, and cut.
  bool ReadLine(std::string* line, bool* too_long);

  // What comes next, without taking it: at most some thousand bytes.
  std::string_view Ahead() const { return {buffer_.data() + at_, end_ - at_}; }

  int64_t line() const { return line_; }  // the number of the line that comes next, from 1

 private:
  bool Refill();

  std::unique_ptr<ByteSource> source_;
  std::vector<char> buffer_;
  size_t at_ = 0, end_ = 0;
  int64_t line_ = 1;
};

}  // namespace moat::data::formats
