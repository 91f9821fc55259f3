// Bytes and elements are different types, so that one is never passed for the other.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace moat::core {

struct Bytes {
  int64_t value = 0;
  constexpr Bytes() = default;
  constexpr explicit Bytes(int64_t v) : value(v) {}
  // NOLINTNEXTLINE(modernize-use-nullptr): clang-tidy 14 takes the comparison's zero for a pointer
  constexpr auto operator<=>(const Bytes&) const = default;
  constexpr Bytes operator+(Bytes other) const { return Bytes(value + other.value); }
  constexpr Bytes operator-(Bytes other) const { return Bytes(value - other.value); }
  constexpr Bytes& operator+=(Bytes other) {
    value += other.value;
    return *this;
  }
};

// "1.5 GiB", "812 KiB", "17 B".
std::string Format(Bytes bytes);

// "12.4M", "1.2k", "37": a count for people.
std::string FormatCount(double count);

// "1h02m", "3m20s", "4.2s": a duration for people.
std::string FormatSeconds(double seconds);

}  // namespace moat::core
