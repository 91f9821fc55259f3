// The spool's bytes: numbers as they lie in memory and texts with their length; never kept.
#include "data/spool.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace moat::data {
namespace {

constexpr size_t kBufferBytes = 4 << 20;

template <typename T>
void Put(T value, std::string* out) {
  out->append(reinterpret_cast<const char*>(&value), sizeof value);
}

void PutText(const std::string& text, std::string* out) {
  Put(static_cast<uint64_t>(text.size()), out);
  *out += text;
}

}  // namespace

void SpoolWriter::Add(const Interaction& interaction) {
  PutText(interaction.id, &buffer_);
  PutText(interaction.user, &buffer_);
  PutText(interaction.request, &buffer_);
  PutText(interaction.path, &buffer_);
  Put(interaction.time_micros, &buffer_);
  Put(static_cast<uint64_t>(interaction.segments.size()), &buffer_);
  for (const Segment& segment : interaction.segments) {
    Put(segment.role, &buffer_);
    Put(segment.weight, &buffer_);
    PutText(segment.text, &buffer_);
  }
  if (buffer_.size() >= kBufferBytes) {
    file_.Write(buffer_);
    buffer_.clear();
  }
}

void SpoolWriter::Close() {
  file_.Write(buffer_);
  buffer_.clear();
  file_.SyncAndClose();
}

void SpoolReader::Take(void* out, size_t size) {
  auto* bytes = static_cast<char*>(out);
  while (size > 0) {
    if (in_buffer_ == buffer_.size()) {
      const int64_t left = file_.size() - at_;
      if (left <= 0) throw core::DataError(file_.path().string() + ": the spool ends too early");
      buffer_.resize(std::min(kBufferBytes, static_cast<size_t>(left)));
      file_.ReadAt(at_, buffer_.data(), buffer_.size());
      at_ += static_cast<int64_t>(buffer_.size());
      in_buffer_ = 0;
    }
    const size_t take = std::min(size, buffer_.size() - in_buffer_);
    std::memcpy(bytes, buffer_.data() + in_buffer_, take);
    in_buffer_ += take;
    bytes += take;
    size -= take;
  }
}

template <typename T>
T SpoolReader::TakeNumber() {
  T value{};
  Take(&value, sizeof value);
  return value;
}

std::string SpoolReader::TakeText() {
  const auto size = TakeNumber<uint64_t>();
  if (size > static_cast<uint64_t>(file_.size())) {
    throw core::DataError(file_.path().string() + ": the spool is damaged");
  }
  std::string text(size, '\0');
  Take(text.data(), text.size());
  return text;
}

bool SpoolReader::Next(Interaction* interaction) {
  if (in_buffer_ == buffer_.size() && at_ == file_.size()) return false;
  interaction->id = TakeText();
  interaction->user = TakeText();
  interaction->request = TakeText();
  interaction->path = TakeText();
  interaction->time_micros = TakeNumber<int64_t>();
  const auto segments = TakeNumber<uint64_t>();
  interaction->segments.clear();
  for (uint64_t i = 0; i < segments; ++i) {
    Segment segment;
    segment.role = TakeNumber<Role>();
    segment.weight = TakeNumber<float>();
    segment.text = TakeText();
    interaction->segments.push_back(std::move(segment));
  }
  return true;
}

}  // namespace moat::data
