// The shard reader: whole CRC blocks are read, checked, and cut to what was asked for.
#include "data/shard_reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "core/crc32c.h"
#include "core/error.h"
#include "core/logging.h"
#include "data/isolation.h"
#include "data/shard_writer.h"

namespace moat::data {

namespace {

// A shard that cannot be opened is bad data when it is not there, and the storage's fault else.
core::FileReader OpenShard(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored) && !ignored) {
    throw core::DataError(path.string() +
                          ": expected a shard that index.json names, found no file; import the "
                          "data again or restore a copy");
  }
  return core::FileReader(path);
}

}  // namespace

ShardReader::ShardReader(const std::filesystem::path& directory, const ShardEntry& entry,
                         int64_t vocab_size)
    : entry_(entry), vocab_size_(vocab_size), file_(OpenShard(directory / entry.file)) {
  if (file_.size() == entry_.bytes) return;
  const std::string problem = ProblemInChild([&] { Hdf5Shard(file_.path()).CheckEntry(entry_); });
  if (!problem.empty()) {
    throw core::DataError(file_.path().string() + ": expected " + std::to_string(entry_.bytes) +
                          " bytes, found " + std::to_string(file_.size()) +
                          ": the shard was cut or replaced; import it again or restore a copy (" +
                          problem + ")");
  }
  rewritten_ = std::make_shared<Hdf5Shard>(file_.path());
  core::Log(core::Log::kWarning) << file_.path().string()
                                 << " was rewritten by another program: it is read through HDF5, "
                                    "which is slower; import the data again to change that";
}

void ShardReader::Fail(shard::Array array, int64_t row, const std::string& what) const {
  throw core::DataError(file_.path().string() + ", dataset " + shard::kNames[array] + ", row " +
                        std::to_string(row) + ": " + what +
                        "; import the data again or restore a copy");
}

int64_t ShardReader::BlockSize(shard::Array array, int64_t block) const {
  const StoredArray& stored = entry_.arrays[array];
  const int64_t size = stored.count * core::SizeOf(core::ParseDType(stored.dtype));
  return std::min(shard::kCrcBlockBytes, size - block * shard::kCrcBlockBytes);
}

void ShardReader::ReadBlock(shard::Array array, int64_t block, uint8_t* out) const {
  const StoredArray& stored = entry_.arrays[array];
  const int64_t begin = block * shard::kCrcBlockBytes;
  const auto size = static_cast<size_t>(BlockSize(array, block));
  if (rewritten_) {
    rewritten_->Read(stored, begin, static_cast<int64_t>(size), out);
  } else {
    file_.ReadAt(stored.offset + begin, out, size);
  }
  if (core::Crc32c(out, size) != stored.crc32c[static_cast<size_t>(block)]) {
    Fail(array, begin / core::SizeOf(core::ParseDType(stored.dtype)),
         "CRC32C of the 1 MiB block that starts here does not match: bytes changed on the disk");
  }
}

// Blocks that are wanted whole go where they belong, and are checked while they are in the
// processor's cache; those at the ends are cut from a copy.
void ShardReader::ReadBytes(shard::Array array, int64_t first, int64_t size, uint8_t* out) const {
  std::unique_ptr<uint8_t[]> copy;
  for (int64_t at = first; at < first + size;) {
    const int64_t number = at / shard::kCrcBlockBytes;
    const int64_t inside = at % shard::kCrcBlockBytes;
    const int64_t block = BlockSize(array, number);
    const int64_t take = std::min(first + size - at, block - inside);
    if (take == block) {
      ReadBlock(array, number, out + (at - first));
    } else {
      if (!copy) copy = std::make_unique_for_overwrite<uint8_t[]>(shard::kCrcBlockBytes);
      ReadBlock(array, number, copy.get());
      std::memcpy(out + (at - first), copy.get() + inside, static_cast<size_t>(take));
    }
    at += take;
  }
}

template <typename T>
std::vector<T> ShardReader::Read(shard::Array array, int64_t first, int64_t count) const {
  constexpr auto kWidth = static_cast<int64_t>(sizeof(T));
  std::vector<T> values(static_cast<size_t>(count));
  ReadBytes(array, first * kWidth, count * kWidth, reinterpret_cast<uint8_t*>(values.data()));
  return values;
}

// `count` + 1 starts from row `first`: each at least `least` after the one before, from 0 at the
// first row to `limit` at the last.
std::vector<int64_t> ShardReader::ReadStarts(shard::Array array, int64_t first, int64_t count,
                                             int64_t limit, int64_t least) const {
  const std::vector<uint64_t> raw = Read<uint64_t>(array, first, count + 1);
  std::vector<int64_t> starts(raw.size());
  for (size_t i = 0; i < raw.size(); ++i) {
    const int64_t row = first + static_cast<int64_t>(i);
    if (raw[i] > static_cast<uint64_t>(limit)) {
      Fail(array, row,
           "start " + std::to_string(raw[i]) + " is past the end, " + std::to_string(limit));
    }
    starts[i] = static_cast<int64_t>(raw[i]);
    if (i > 0 && starts[i] - starts[i - 1] < least) {
      Fail(array, row,
           "start " + std::to_string(starts[i]) + " is not at least " + std::to_string(least) +
               " after " + std::to_string(starts[i - 1]));
    }
    const bool last = row + 1 == entry_.arrays[array].count;
    if ((row == 0 && starts[i] != 0) || (last && starts[i] != limit)) {
      Fail(array, row, "starts do not run from 0 to " + std::to_string(limit));
    }
  }
  return starts;
}

template <typename T>
void ShardReader::CheckTokens(const T* tokens, int64_t first, int64_t count) const {
  const auto last = static_cast<uint64_t>(vocab_size_ - 1);
  if (last >= std::numeric_limits<T>::max()) return;
  // Compared as signed numbers, shifted to keep the order: the one comparison every processor has
  // for vectors.
  using Signed = std::make_signed_t<T>;
  constexpr T kShift = T{1} << (sizeof(T) * 8 - 1);
  const auto limit = static_cast<Signed>(static_cast<T>(last) ^ kShift);
  Signed outside = 0;
  for (int64_t i = 0; i < count; ++i) {
    outside |= static_cast<Signed>(-(static_cast<Signed>(tokens[i] ^ kShift) > limit));
  }
  if (outside == 0) return;
  int64_t bad = 0;
  while (tokens[bad] <= last) ++bad;
  Fail(shard::kTokens, first + bad,
       "token " + std::to_string(tokens[bad]) + " is outside the vocabulary of " +
           std::to_string(vocab_size_));
}

// Block by block, so that a block is checked while it is in the processor's cache.
void ShardReader::ReadTokens(int64_t first, StoredRun* run) const {
  const int64_t width = token_width(), begin = first * width, size = run->tokens * width;
  run->token_width = width;
  run->token_bytes = std::make_unique_for_overwrite<uint8_t[]>(static_cast<size_t>(size));
  for (int64_t at = 0; at < size;) {
    const int64_t block_end = (begin + at) / shard::kCrcBlockBytes * shard::kCrcBlockBytes +
                              shard::kCrcBlockBytes - begin;
    const int64_t end = std::min(size, block_end);
    ReadBytes(shard::kTokens, begin + at, end - at, run->token_bytes.get() + at);
    run->WithTokens([&](const auto* tokens) {
      CheckTokens(tokens + at / width, first + at / width, (end - at) / width);
    });
    at = end;
  }
}

StoredRun ShardReader::ReadRun(int64_t first, int64_t count) const {
  MOAT_CHECK(first >= 0 && count > 0 && first + count <= entry_.interactions, "a range of rows");
  StoredRun result;
  result.first_segment = ReadStarts(shard::kFirstSegment, first, count, entry_.segments, 1);
  const int64_t segment = result.first_segment.front();
  const int64_t segments = result.first_segment.back() - segment;
  result.segment_start = ReadStarts(shard::kSegmentStart, segment, segments, entry_.tokens, 2);
  const int64_t token = result.segment_start.front();
  result.tokens = result.segment_start.back() - token;
  ReadTokens(token, &result);
  for (int64_t& start : result.first_segment) start -= segment;
  for (int64_t& start : result.segment_start) start -= token;

  const std::vector<uint8_t> roles = Read<uint8_t>(shard::kSegmentRole, segment, segments);
  result.weight = Read<float>(shard::kSegmentWeight, segment, segments);
  result.role.resize(roles.size());
  for (size_t i = 0; i < roles.size(); ++i) {
    const int64_t row = segment + static_cast<int64_t>(i);
    if (roles[i] >= kRoles) {
      Fail(shard::kSegmentRole, row, "unknown role " + std::to_string(roles[i]));
    }
    if (!std::isfinite(result.weight[i]) || result.weight[i] < 0) {
      Fail(shard::kSegmentWeight, row,
           "expected a finite weight of at least 0, found " + std::to_string(result.weight[i]));
    }
    result.role[i] = static_cast<Role>(roles[i]);
  }
  return result;
}

StoredInteractions ShardReader::ReadInteractions(int64_t first, int64_t count) const {
  StoredRun run = ReadRun(first, count);
  StoredInteractions result;
  static_cast<StoredSegments&>(result) = std::move(run);
  result.tokens.resize(static_cast<size_t>(run.tokens));
  run.WithTokens(
      [&](const auto* tokens) { std::copy_n(tokens, run.tokens, result.tokens.begin()); });
  return result;
}

InteractionSizes ShardReader::ReadSizes(int64_t first, int64_t count) const {
  const std::vector<int64_t> segments =
      ReadStarts(shard::kFirstSegment, first, count, entry_.segments, 1);
  const std::vector<int64_t> starts = ReadStarts(
      shard::kSegmentStart, segments.front(), segments.back() - segments.front(), entry_.tokens, 2);
  InteractionSizes sizes;
  for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
    sizes.segments.push_back(segments[i + 1] - segments[i]);
    sizes.tokens.push_back(starts[static_cast<size_t>(segments[i + 1] - segments.front())] -
                           starts[static_cast<size_t>(segments[i] - segments.front())]);
  }
  return sizes;
}

StoredKeys ShardReader::ReadKeys(int64_t first, int64_t count) const {
  return {Read<uint64_t>(shard::kId, first, count), Read<uint64_t>(shard::kUser, first, count),
          Read<uint64_t>(shard::kRequest, first, count), Read<int64_t>(shard::kTime, first, count)};
}

void ShardReader::VerifyArray(shard::Array array) const {
  const auto block = std::make_unique_for_overwrite<uint8_t[]>(shard::kCrcBlockBytes);
  const auto blocks = static_cast<int64_t>(entry_.arrays[array].crc32c.size());
  for (int64_t i = 0; i < blocks; ++i) ReadBlock(array, i, block.get());
}

std::string ShardReader::ComputeContentDigest() const {
  ContentDigest digest;
  const auto block = std::make_unique_for_overwrite<uint8_t[]>(shard::kCrcBlockBytes);
  for (const shard::Array array : shard::kContent) {
    const StoredArray& stored = entry_.arrays[array];
    digest.Start(array, core::ParseDType(stored.dtype), stored.count);
    for (int64_t i = 0; i < static_cast<int64_t>(stored.crc32c.size()); ++i) {
      ReadBlock(array, i, block.get());
      digest.Update(block.get(), static_cast<size_t>(BlockSize(array, i)));
    }
  }
  return digest.Finish();
}

}  // namespace moat::data
