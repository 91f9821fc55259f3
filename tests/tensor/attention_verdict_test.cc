// A library's attention is refused for each thing that can be wrong with it.
#include "tensor/attention_verdict.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace moat::tensor {
namespace {

// Two slots of a large part and a small one.
AttentionResult Same() {
  const std::vector<float> values{100, -200, 0.5f, 300, 100, -0.25f};
  return {values, values, values, {2, 1}, 1e-2};
}

bool Says(const AttentionResult& result, const char* what) {
  return WhyNotOurs(result).find(what) != std::string::npos;
}

TEST(AttentionVerdict, OursToRoundingIsTaken) {
  EXPECT_EQ(WhyNotOurs(Same()), "");
  AttentionResult rounded = Same();
  rounded.library[0] = rounded.later[0] = 101;
  EXPECT_EQ(WhyNotOurs(rounded), "");
}

TEST(AttentionVerdict, OneBitThatComesAndGoesIsRefused) {
  AttentionResult result = Same();
  result.later[5] = std::nextafter(result.later[5], 0.0f);
  EXPECT_TRUE(Says(result, "other bits each time"));
}

TEST(AttentionVerdict, ASmallPartIsNotHiddenByALargeOne) {
  AttentionResult result = Same();
  result.library[2] = result.later[2] = 0.25f;
  EXPECT_TRUE(Says(result, "differs from our own"));
}

TEST(AttentionVerdict, WhatIsNoNumberIsRefused) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    AttentionResult result = Same();
    result.library[1] = result.later[1] = bad;
    EXPECT_TRUE(Says(result, "differs from our own")) << bad;
  }
}

TEST(AttentionVerdict, WhatWasNotWrittenIsRefused) {
  AttentionResult result = Same();
  result.library.assign(6, 0);
  result.later = result.library;
  EXPECT_TRUE(Says(result, "differs from our own by 1 "));
}

}  // namespace
}  // namespace moat::tensor
