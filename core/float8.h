// The two formats of 8 bits that FP8 products multiply: e4m3 and e5m2, conversion on the host.
//
// Micikevicius et al., "FP8 Formats for Deep Learning", 2022 (arXiv:2209.05433), table 1. e4m3: 4
// bits of exponent with bias 7, no infinities, one NaN, largest 448. e5m2: 5 bits with bias 15,
// infinities and NaNs as IEEE 754 has them, largest finite 57344. Both have subnormals.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>

#include "core/dtype.h"

namespace moat::core {

// Extents of what FP8 products multiply, and addresses in bytes, are multiples of this.
inline constexpr int kFloat8Step = 16;

struct Float8Format {
  int mantissa_bits;
  int bias;
  uint32_t largest;  // the code of the largest finite number
  // Its power of two; the number is 1.75 times that.
  int largest_exponent;
  bool infinities;
};
inline constexpr Float8Format kE4M3Format{3, 7, 0x7e, 8, false}, kE5M2Format{2, 15, 0x7b, 15, true};

// REQUIRES: kE4M3 or kE5M2.
constexpr const Float8Format& Float8FormatOf(DType dtype) {
  return dtype == DType::kE4M3 ? kE4M3Format : kE5M2Format;
}
constexpr bool IsFloat8(DType dtype) { return dtype == DType::kE4M3 || dtype == DType::kE5M2; }

// The code nearest to `value`, ties to even; what is too large, infinity too, becomes the largest
// finite number, and NaN stays NaN: as PTX's cvt.rn.satfinite converts.
constexpr uint8_t EncodeFloat8(float value, const Float8Format& format) {
  constexpr uint32_t kInfinity = 0x7f800000u, kNan = 0x7fu;
  const uint32_t word = std::bit_cast<uint32_t>(value);
  const uint32_t sign = word >> 24 & 0x80u, magnitude = word & 0x7fffffffu;
  const int shift = 23 - format.mantissa_bits;
  const auto least_normal = static_cast<uint32_t>(128 - format.bias) << 23;
  // A sum whose last bit is worth a subnormal's step is rounded to such steps.
  const auto step = static_cast<uint32_t>(127 + 24 - format.bias - format.mantissa_bits) << 23;
  const uint32_t small =
      std::bit_cast<uint32_t>(std::bit_cast<float>(std::min(magnitude, least_normal)) +
                              std::bit_cast<float>(step)) -
      step;
  const uint32_t moved = magnitude - (static_cast<uint32_t>(127 - format.bias) << 23);
  const uint32_t normal = (moved + (1u << (shift - 1)) - 1 + (moved >> shift & 1u)) >> shift;
  const uint32_t code = magnitude < least_normal ? small : std::min(normal, format.largest);
  return static_cast<uint8_t>(sign | (magnitude > kInfinity ? kNan : code));
}

constexpr float DecodeFloat8(uint8_t code, const Float8Format& format) {
  const uint32_t sign = (code & 0x80u) << 24, magnitude = code & 0x7fu;
  const int shift = 23 - format.mantissa_bits;
  const auto step = static_cast<uint32_t>(127 + 1 - format.bias - format.mantissa_bits) << 23;
  float value = 0;
  if (magnitude >> format.mantissa_bits == 0) {
    value = static_cast<float>(magnitude) * std::bit_cast<float>(step);
  } else if (magnitude <= format.largest) {
    value = std::bit_cast<float>((magnitude << shift) +
                                 (static_cast<uint32_t>(127 - format.bias) << 23));
  } else {
    value = format.infinities && magnitude == format.largest + 1
                ? std::numeric_limits<float>::infinity()
                : std::numeric_limits<float>::quiet_NaN();
  }
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) | sign);
}

// What codes of a tensor are multiplied by: the smallest power of two by which its largest
// magnitude fits into the format, given as the bits of that f32 without its sign. Of zero 1; of
// infinity and NaN NaN, so that all codes become NaN and a bad number is not hidden by saturation.
// Kept from 2^-120 to 2^120, so that it and its inverse are normal numbers. Dividing by a power of
// two is exact, on any device.
inline constexpr uint32_t kAboveLargestMantissa = 0x1fffff;  // added, what is above 1.75 carries
constexpr float Float8Scale(uint32_t largest_magnitude, int largest_exponent) {
  constexpr uint32_t kInfinity = 0x7f800000u;
  if (largest_magnitude == 0) return 1.0f;
  if (largest_magnitude >= kInfinity) return std::numeric_limits<float>::quiet_NaN();
  const int exponent =
      static_cast<int>((largest_magnitude + kAboveLargestMantissa) >> 23) - 127 - largest_exponent;
  return std::bit_cast<float>(static_cast<uint32_t>(std::clamp(exponent, -120, 120) + 127) << 23);
}

}  // namespace moat::core
