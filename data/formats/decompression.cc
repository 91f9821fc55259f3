// Gzip through zlib, zstd and xz through their libraries: one loop, three engines.
#include "data/formats/decompression.h"

#include <lzma.h>
#include <zlib.h>
#include <zstd.h>

#include <array>
#include <vector>

#include "core/error.h"

namespace moat::data::formats {
namespace {

constexpr size_t kInputBytes = 64 << 10;
constexpr uint64_t kXzMemoryBytes = 192 << 20;  // a window of 128 MiB and what goes with it

struct Chunk {
  const char* in;
  size_t in_left;
  char* out;
  size_t out_left;
};

// What a library makes of a chunk. Step throws DataError("why") for corrupt bytes.
class Engine {
 public:
  virtual ~Engine() = default;
  virtual void Step(Chunk* chunk, bool at_end) = 0;
  virtual bool Complete() const = 0;  // nothing is open: the input may end here
};

class GzipEngine : public Engine {
 public:
  GzipEngine() {
    // 16: gzip headers only.
    if (inflateInit2(&stream_, 16 + MAX_WBITS) != Z_OK) throw std::bad_alloc();
  }
  ~GzipEngine() override { inflateEnd(&stream_); }
  GzipEngine(const GzipEngine&) = delete;
  GzipEngine& operator=(const GzipEngine&) = delete;

  void Step(Chunk* chunk, bool /*at_end*/) override {
    if (complete_ && chunk->in_left == 0) return;
    if (complete_) inflateReset(&stream_);  // another member
    complete_ = false;
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(chunk->in));
    stream_.avail_in = static_cast<uInt>(chunk->in_left);
    stream_.next_out = reinterpret_cast<Bytef*>(chunk->out);
    stream_.avail_out = static_cast<uInt>(chunk->out_left);
    const int status = inflate(&stream_, Z_NO_FLUSH);
    chunk->in += chunk->in_left - stream_.avail_in;
    chunk->in_left = stream_.avail_in;
    chunk->out += chunk->out_left - stream_.avail_out;
    chunk->out_left = stream_.avail_out;
    complete_ = status == Z_STREAM_END;
    if (status == Z_MEM_ERROR) throw std::bad_alloc();
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      throw core::DataError(stream_.msg != nullptr ? stream_.msg : "not gzip data");
    }
  }
  bool Complete() const override { return complete_; }

 private:
  z_stream stream_{};
  bool complete_ = false;
};

class ZstdEngine : public Engine {
 public:
  ZstdEngine() : stream_(ZSTD_createDStream(), ZSTD_freeDStream) {
    if (!stream_) throw std::bad_alloc();
  }

  void Step(Chunk* chunk, bool /*at_end*/) override {
    if (complete_ && chunk->in_left == 0) return;
    ZSTD_inBuffer in{chunk->in, chunk->in_left, 0};
    ZSTD_outBuffer out{chunk->out, chunk->out_left, 0};
    const size_t status = ZSTD_decompressStream(stream_.get(), &out, &in);
    if (ZSTD_isError(status) != 0) throw core::DataError(ZSTD_getErrorName(status));
    chunk->in += in.pos;
    chunk->in_left -= in.pos;
    chunk->out += out.pos;
    chunk->out_left -= out.pos;
    complete_ = status == 0;
  }
  bool Complete() const override { return complete_; }

 private:
  std::unique_ptr<ZSTD_DStream, size_t (*)(ZSTD_DStream*)> stream_;
  bool complete_ = false;
};

class XzEngine : public Engine {
 public:
  XzEngine() {
    if (lzma_stream_decoder(&stream_, kXzMemoryBytes, LZMA_CONCATENATED) != LZMA_OK) {
      throw std::bad_alloc();
    }
  }
  ~XzEngine() override { lzma_end(&stream_); }
  XzEngine(const XzEngine&) = delete;
  XzEngine& operator=(const XzEngine&) = delete;

  void Step(Chunk* chunk, bool at_end) override {
    if (complete_) return;
    stream_.next_in = reinterpret_cast<const uint8_t*>(chunk->in);
    stream_.avail_in = chunk->in_left;
    stream_.next_out = reinterpret_cast<uint8_t*>(chunk->out);
    stream_.avail_out = chunk->out_left;
    const lzma_ret status = lzma_code(&stream_, at_end ? LZMA_FINISH : LZMA_RUN);
    chunk->in += chunk->in_left - stream_.avail_in;
    chunk->in_left = stream_.avail_in;
    chunk->out += chunk->out_left - stream_.avail_out;
    chunk->out_left = stream_.avail_out;
    complete_ = status == LZMA_STREAM_END;
    if (status == LZMA_MEM_ERROR) throw std::bad_alloc();
    if (status == LZMA_MEMLIMIT_ERROR) throw core::DataError("its window is above 128 MiB");
    if (status != LZMA_OK && status != LZMA_STREAM_END && status != LZMA_BUF_ERROR) {
      throw core::DataError("xz reports error " + std::to_string(status));
    }
  }
  bool Complete() const override { return complete_; }

 private:
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool complete_ = false;
};

class DecompressedSource : public ByteSource {
 public:
  DecompressedSource(std::unique_ptr<Engine> engine, const char* kind,
                     std::unique_ptr<ByteSource> source, std::string name)
      : engine_(std::move(engine)),
        kind_(kind),
        source_(std::move(source)),
        name_(std::move(name)),
        buffer_(kInputBytes) {}

  size_t Read(char* out, size_t size) override {
    while (true) {
      if (in_left_ == 0 && !ended_) Refill();
      Chunk chunk{buffer_.data() + in_at_, in_left_, out, size};
      try {
        engine_->Step(&chunk, ended_);
      } catch (const core::DataError& error) {
        Fail(std::string("is corrupt: ") + error.what());
      }
      const bool moved = chunk.in_left != in_left_;
      in_at_ += in_left_ - chunk.in_left;
      in_left_ = chunk.in_left;
      if (chunk.out_left < size) return size - chunk.out_left;
      if (!ended_ || moved) continue;
      if (!engine_->Complete()) Fail("ends too early: the file was cut");
      if (in_left_ > 0) Fail("is followed by something else");
      return 0;
    }
  }

 private:
  void Refill() {
    in_at_ = 0;
    in_left_ = source_->Read(buffer_.data(), buffer_.size());
    consumed_ += static_cast<int64_t>(in_left_);
    ended_ = in_left_ == 0;
  }

  [[noreturn]] void Fail(const std::string& what) const {
    throw core::DataError(name_ + ": the " + kind_ + " data " + what + ", at byte " +
                          std::to_string(consumed_ - static_cast<int64_t>(in_left_)) +
                          " of the compressed file");
  }

  std::unique_ptr<Engine> engine_;
  const char* kind_;
  std::unique_ptr<ByteSource> source_;
  std::string name_;
  std::vector<char> buffer_;
  size_t in_at_ = 0, in_left_ = 0;
  int64_t consumed_ = 0;  // bytes of `source_`, those in the buffer included
  bool ended_ = false;
};

template <typename EngineType>
std::unique_ptr<ByteSource> Make(const char* kind, std::unique_ptr<ByteSource> source,
                                 const std::string& name) {
  return std::make_unique<DecompressedSource>(std::make_unique<EngineType>(), kind,
                                              std::move(source), name);
}

std::unique_ptr<ByteSource> Gzip(std::unique_ptr<ByteSource> source, const std::string& name) {
  return Make<GzipEngine>("gzip", std::move(source), name);
}
std::unique_ptr<ByteSource> Zstd(std::unique_ptr<ByteSource> source, const std::string& name) {
  return Make<ZstdEngine>("zstd", std::move(source), name);
}
std::unique_ptr<ByteSource> Xz(std::unique_ptr<ByteSource> source, const std::string& name) {
  return Make<XzEngine>("xz", std::move(source), name);
}

}  // namespace

Decompressor DecompressorFor(std::string_view start) {
  if (start.starts_with("\x1f\x8b")) return Gzip;
  if (start.starts_with("\x28\xb5\x2f\xfd")) return Zstd;
  if (start.starts_with(std::string_view("\xfd"
                                         "7zXZ\0",
                                         6))) {
    return Xz;
  }
  return nullptr;
}

}  // namespace moat::data::formats
