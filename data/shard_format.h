// Interaction shard, version 1: names and types shared by writer and reader.
//
// docs/dataset-format.md is the page for people. A change here is a new version.
#pragma once

#include <array>
#include <cstdint>

#include "core/dtype.h"

namespace moat::data::shard {

inline constexpr const char* kFormat = "moat.interactions";
inline constexpr int kVersion = 1;
inline constexpr int64_t kCrcBlockBytes = 1 << 20;  // crc32c/<dataset>[i] covers block i of it
inline constexpr const char* kCrcGroup = "crc32c";

enum Array {
  kTokens,         // [tokens]
  kSegmentStart,   // [segments + 1] index into tokens; segments tile the tokens
  kSegmentRole,    // [segments]
  kSegmentWeight,  // [segments] finite, >= 0
  kFirstSegment,   // [interactions + 1] index into segments
  kId,             // [interactions] keyed hash
  kUser,           // [interactions] keyed hash; the id where the user is unknown
  kTime,           // [interactions] Unix microseconds, 0 unknown
  kRequest,        // [interactions] alternatives share one number, 0 none
  kArrays
};

inline constexpr std::array<const char*, kArrays> kNames = {
    "tokens", "segment_start", "segment_role", "segment_weight", "first_segment",
    "id",     "user",          "time",         "request"};

// Vocabularies of up to 65,536 tokens are stored in two bytes a token.
inline core::DType TokenType(int64_t vocab_size) {
  return vocab_size <= 65536 ? core::DType::kU16 : core::DType::kU32;
}

inline core::DType TypeOf(Array array, int64_t vocab_size) {
  switch (array) {
    case kTokens:
      return TokenType(vocab_size);
    case kSegmentRole:
      return core::DType::kU8;
    case kSegmentWeight:
      return core::DType::kF32;
    case kTime:
      return core::DType::kI64;
    default:
      return core::DType::kU64;
  }
}

inline int64_t CountOf(Array array, int64_t interactions, int64_t segments, int64_t tokens) {
  switch (array) {
    case kTokens:
      return tokens;
    case kSegmentStart:
      return segments + 1;
    case kSegmentRole:
    case kSegmentWeight:
      return segments;
    case kFirstSegment:
      return interactions + 1;
    default:
      return interactions;
  }
}

inline int64_t CrcBlocks(int64_t bytes) { return (bytes + kCrcBlockBytes - 1) / kCrcBlockBytes; }

// What training sees: the content digest covers these, in this order, and neither id nor user,
// which change with the key.
inline constexpr std::array<Array, 7> kContent = {
    kTokens, kSegmentStart, kSegmentRole, kSegmentWeight, kFirstSegment, kTime, kRequest};

}  // namespace moat::data::shard
