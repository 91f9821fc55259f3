// The shard reader: whole CRC blocks are read, checked, and cut to what was asked for.
#include "data/shard_reader.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/crc32c.h"
#include "core/error.h"
#include "data/shard_writer.h"

namespace moat::data {

ShardReader::ShardReader(const std::filesystem::path& directory, const ShardEntry& entry,
                         int64_t vocab_size)
    : entry_(entry), vocab_size_(vocab_size), file_(directory / entry.file) {
  if (file_.size() != entry_.bytes) {
    throw core::DataError(file_.path().string() + ": expected " + std::to_string(entry_.bytes) +
                          " bytes, found " + std::to_string(file_.size()) +
                          ": the shard was cut or replaced; import it again or restore a copy");
  }
}

void ShardReader::Fail(shard::Array array, int64_t row, const std::string& what) const {
  throw core::DataError(file_.path().string() + ", dataset " + shard::kNames[array] + ", row " +
                        std::to_string(row) + ": " + what +
                        "; import the data again or restore a copy");
}

void ShardReader::ReadBlock(shard::Array array, int64_t block, std::vector<uint8_t>* out) const {
  const StoredArray& stored = entry_.arrays[array];
  const int64_t width = core::SizeOf(core::ParseDType(stored.dtype));
  const int64_t begin = block * shard::kCrcBlockBytes;
  const int64_t size = std::min(shard::kCrcBlockBytes, stored.count * width - begin);
  out->resize(static_cast<size_t>(size));
  file_.ReadAt(stored.offset + begin, out->data(), out->size());
  const uint32_t crc = core::Crc32c(out->data(), out->size());
  if (crc != stored.crc32c[static_cast<size_t>(block)]) {
    Fail(array, begin / width,
         "CRC32C of the 1 MiB block that starts here does not match: bytes changed on the disk");
  }
}

void ShardReader::ReadBytes(shard::Array array, int64_t first, int64_t size, uint8_t* out) const {
  std::vector<uint8_t> block;
  for (int64_t at = first; at < first + size;) {
    const int64_t number = at / shard::kCrcBlockBytes;
    const int64_t inside = at % shard::kCrcBlockBytes;
    ReadBlock(array, number, &block);
    const int64_t take = std::min(first + size - at, static_cast<int64_t>(block.size()) - inside);
    std::memcpy(out + (at - first), block.data() + inside, static_cast<size_t>(take));
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

std::vector<int32_t> ShardReader::ReadTokens(int64_t first, int64_t count) const {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  const auto take = [&](const auto& raw) {
    for (size_t i = 0; i < raw.size(); ++i) {
      if (raw[i] >= static_cast<uint64_t>(vocab_size_)) {
        Fail(shard::kTokens, first + static_cast<int64_t>(i),
             "token " + std::to_string(raw[i]) + " is outside the vocabulary of " +
                 std::to_string(vocab_size_));
      }
      tokens[i] = static_cast<int32_t>(raw[i]);
    }
  };
  if (shard::TokenType(vocab_size_) == core::DType::kU16) {
    take(Read<uint16_t>(shard::kTokens, first, count));
  } else {
    take(Read<uint32_t>(shard::kTokens, first, count));
  }
  return tokens;
}

StoredInteractions ShardReader::ReadInteractions(int64_t first, int64_t count) const {
  MOAT_CHECK(first >= 0 && count > 0 && first + count <= entry_.interactions, "a range of rows");
  StoredInteractions result;
  result.first_segment = ReadStarts(shard::kFirstSegment, first, count, entry_.segments, 1);
  const int64_t segment = result.first_segment.front();
  const int64_t segments = result.first_segment.back() - segment;
  result.segment_start = ReadStarts(shard::kSegmentStart, segment, segments, entry_.tokens, 2);
  const int64_t token = result.segment_start.front();
  result.tokens = ReadTokens(token, result.segment_start.back() - token);
  for (int64_t& start : result.first_segment) start -= segment;
  for (int64_t& start : result.segment_start) start -= token;

  const std::vector<uint8_t> roles = Read<uint8_t>(shard::kSegmentRole, segment, segments);
  result.weight = Read<float>(shard::kSegmentWeight, segment, segments);
  for (size_t i = 0; i < roles.size(); ++i) {
    const int64_t row = segment + static_cast<int64_t>(i);
    if (roles[i] >= kRoles) {
      Fail(shard::kSegmentRole, row, "unknown role " + std::to_string(roles[i]));
    }
    if (!std::isfinite(result.weight[i]) || result.weight[i] < 0) {
      Fail(shard::kSegmentWeight, row,
           "expected a finite weight of at least 0, found " + std::to_string(result.weight[i]));
    }
    result.role.push_back(static_cast<Role>(roles[i]));
  }
  return result;
}

std::vector<int64_t> ShardReader::ReadLengths(int64_t first, int64_t count) const {
  const std::vector<int64_t> segments =
      ReadStarts(shard::kFirstSegment, first, count, entry_.segments, 1);
  const std::vector<int64_t> starts = ReadStarts(
      shard::kSegmentStart, segments.front(), segments.back() - segments.front(), entry_.tokens, 2);
  std::vector<int64_t> lengths(static_cast<size_t>(count));
  for (size_t i = 0; i < lengths.size(); ++i) {
    lengths[i] = starts[static_cast<size_t>(segments[i + 1] - segments.front())] -
                 starts[static_cast<size_t>(segments[i] - segments.front())];
  }
  return lengths;
}

StoredKeys ShardReader::ReadKeys(int64_t first, int64_t count) const {
  return {Read<uint64_t>(shard::kId, first, count), Read<uint64_t>(shard::kUser, first, count),
          Read<uint64_t>(shard::kRequest, first, count), Read<int64_t>(shard::kTime, first, count)};
}

void ShardReader::VerifyArray(shard::Array array) const {
  std::vector<uint8_t> block;
  const auto blocks = static_cast<int64_t>(entry_.arrays[array].crc32c.size());
  for (int64_t i = 0; i < blocks; ++i) ReadBlock(array, i, &block);
}

std::string ShardReader::ComputeContentDigest() const {
  ContentDigest digest;
  std::vector<uint8_t> block;
  for (const shard::Array array : shard::kContent) {
    const StoredArray& stored = entry_.arrays[array];
    digest.Start(array, core::ParseDType(stored.dtype), stored.count);
    for (size_t i = 0; i < stored.crc32c.size(); ++i) {
      ReadBlock(array, static_cast<int64_t>(i), &block);
      digest.Update(block.data(), block.size());
    }
  }
  return digest.Finish();
}

}  // namespace moat::data
