// Files and standard input as bytes, and the choice of a decompressor by the first bytes.
#include "data/formats/byte_source.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "data/formats/decompression.h"

namespace moat::data::formats {
namespace {

class DescriptorSource : public ByteSource {
 public:
  DescriptorSource(int descriptor, bool owned, std::string name)
      : descriptor_(descriptor), owned_(owned), name_(std::move(name)) {}
  ~DescriptorSource() override {
    if (owned_) close(descriptor_);
  }
  DescriptorSource(const DescriptorSource&) = delete;
  DescriptorSource& operator=(const DescriptorSource&) = delete;

  size_t Read(char* out, size_t size) override {
    while (true) {
      const ssize_t got = read(descriptor_, out, size);
      if (got >= 0) return static_cast<size_t>(got);
      if (errno != EINTR) {
        throw core::StorageError("reading " + name_ + " failed: " + std::strerror(errno));
      }
    }
  }

 private:
  int descriptor_;
  bool owned_;
  std::string name_;
};

// Gives back the bytes that were looked at before those that follow.
class Rejoined : public ByteSource {
 public:
  Rejoined(std::string start, std::unique_ptr<ByteSource> rest)
      : start_(std::move(start)), rest_(std::move(rest)) {}

  size_t Read(char* out, size_t size) override {
    if (at_ == start_.size()) return rest_->Read(out, size);
    const size_t take = std::min(size, start_.size() - at_);
    std::memcpy(out, start_.data() + at_, take);
    at_ += take;
    return take;
  }

 private:
  std::string start_;
  size_t at_ = 0;
  std::unique_ptr<ByteSource> rest_;
};

}  // namespace

std::unique_ptr<ByteSource> Decompressed(std::unique_ptr<ByteSource> source,
                                         const std::string& name) {
  std::string start(kLongestMagic, '\0');
  size_t got = 0;
  while (got < start.size()) {
    const size_t more = source->Read(start.data() + got, start.size() - got);
    if (more == 0) break;
    got += more;
  }
  start.resize(got);
  const std::string_view bytes = start;
  const auto decompress = DecompressorFor(bytes);
  auto whole = std::make_unique<Rejoined>(std::move(start), std::move(source));
  return decompress == nullptr ? std::move(whole) : decompress(std::move(whole), name);
}

std::unique_ptr<ByteSource> OpenBytes(const std::string& path) {
  if (path == kStandardInput) {
    return Decompressed(std::make_unique<DescriptorSource>(STDIN_FILENO, false, "standard input"),
                        "standard input");
  }
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    throw core::ConfigError("cannot open " + path + ": " + std::strerror(errno));
  }
  return Decompressed(std::make_unique<DescriptorSource>(descriptor, true, path), path);
}

}  // namespace moat::data::formats
