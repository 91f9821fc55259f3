// Random values and comparisons for numeric tests.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "core/rng.h"

namespace moat::testing {

// `count` values in [-scale, scale), a function of the name only.
inline std::vector<float> RandomValues(const std::string& name, int64_t count, float scale = 1) {
  const uint64_t key = core::KeyFromName(11, name);
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = scale * (2 * core::RandomUniform(key, i) - 1);
  return values;
}

// |got - want| / |want| in L2, or |got| when want is zero.
template <typename Got, typename Want>
double RelativeError(const Got& got, const Want& want) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < static_cast<size_t>(want.size()); ++i) {
    const double d = static_cast<double>(got[i]) - static_cast<double>(want[i]);
    difference += d * d;
    norm += static_cast<double>(want[i]) * static_cast<double>(want[i]);
  }
  return norm == 0 ? std::sqrt(difference) : std::sqrt(difference / norm);
}

inline bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

// Runs compute(threads) -> vector<float> with 1, 2, 3 and 4 threads; expects the same bits; returns
// the values.
template <typename Compute>
std::vector<float> SameForAnyThreads(const Compute& compute) {
  std::vector<float> one = compute(1);
  for (const int threads : {2, 3, 4}) {
    EXPECT_TRUE(SameBits(one, compute(threads)))
        << "bits differ between 1 and " << threads << " threads";
  }
  return one;
}

}  // namespace moat::testing
