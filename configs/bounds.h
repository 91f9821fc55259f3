// The bounds that configurations share, as checks that name the flag.
#pragma once

#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>

#include "core/error.h"

namespace moat::configs {

[[noreturn]] inline void Expected(const std::string& flag, const std::string& found,
                                  const std::string& expected) {
  throw core::ConfigError("--" + flag + "=" + found + ": expected " + expected);
}

inline void AtLeast(const std::string& flag, int64_t value, int64_t least) {
  if (value < least) {
    Expected(flag, std::to_string(value), "a whole number of at least " + std::to_string(least));
  }
}

// `good` is false for NaN where it is a comparison; infinities are refused here.
inline void Number(const std::string& flag, double value, bool good, const std::string& expected) {
  if (good && std::isfinite(value)) return;
  std::ostringstream found;
  found << value;
  Expected(flag, found.str(), expected);
}

}  // namespace moat::configs
