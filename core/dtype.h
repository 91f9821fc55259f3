// Element types, and bf16 conversion on the host.
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

namespace moat::core {

// kE4M3 and kE5M2: core/float8.h.
enum class DType : uint8_t { kF32, kBF16, kF64, kU8, kU16, kU32, kI32, kU64, kI64, kE4M3, kE5M2 };

int64_t SizeOf(DType dtype);    // bytes per element
const char* Name(DType dtype);  // "f32", "bf16", ...
// Of what files hold, so not of FP8, which is made and used within a step. Throws ConfigError,
// listing the names.
DType ParseDType(std::string_view name);

// Storage of one bf16 number: the upper half of an f32.
struct BFloat16 {
  uint16_t bits = 0;
  BFloat16() = default;
  // Round to nearest, ties to even; NaN stays NaN.
  explicit BFloat16(float value) {
    const uint32_t u = std::bit_cast<uint32_t>(value);
    if ((u & 0x7fffffffu) > 0x7f800000u) {
      bits = static_cast<uint16_t>((u >> 16) | 0x40u);
    } else {
      bits = static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
    }
  }
  explicit operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
};

template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<BFloat16> {
  static constexpr DType value = DType::kBF16;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kF64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::kU8;
};
template <>
struct DTypeOf<uint16_t> {
  static constexpr DType value = DType::kU16;
};
template <>
struct DTypeOf<uint32_t> {
  static constexpr DType value = DType::kU32;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::kI32;
};
template <>
struct DTypeOf<uint64_t> {
  static constexpr DType value = DType::kU64;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::kI64;
};

}  // namespace moat::core
