// Lines out of a buffer that is filled as it empties.
#include "data/formats/text_stream.h"

#include <algorithm>
#include <cstring>

namespace moat::data::formats {
namespace {

constexpr size_t kBufferBytes = 256 << 10;

}  // namespace

TextStream::TextStream(std::unique_ptr<ByteSource> source)
    : source_(std::move(source)), buffer_(kBufferBytes) {
  // The start is read whole where there is that much, since formats are told by it.
  while (end_ < buffer_.size()) {
    const size_t got = source_->Read(buffer_.data() + end_, buffer_.size() - end_);
    if (got == 0) break;
    end_ += got;
  }
  if (Ahead().starts_with("\xef\xbb\xbf")) at_ = 3;
}

bool TextStream::Refill() {
  at_ = 0;
  end_ = source_->Read(buffer_.data(), buffer_.size());
  return end_ > 0;
}

bool TextStream::ReadLine(std::string* line, bool* too_long) {
  line->clear();
  *too_long = false;
  bool any = false;
  while (at_ < end_ || Refill()) {
    any = true;
    const char* start = buffer_.data() + at_;
    const auto* stop = static_cast<const char*>(std::memchr(start, '\n', end_ - at_));
    const size_t size = stop != nullptr ? static_cast<size_t>(stop - start) : end_ - at_;
    const size_t room = kMaxRecordBytes - line->size();
    *too_long = *too_long || size > room;
    line->append(start, std::min(size, room));
    at_ += size;
    if (stop != nullptr) {
      ++at_;
      ++line_;
      break;
    }
  }
  if (line->ends_with('\r')) line->pop_back();
  return any;
}

}  // namespace moat::data::formats
