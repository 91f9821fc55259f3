// Element types and bf16 rounding.
#include "core/dtype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/error.h"

namespace moat::core {
namespace {

TEST(DType, BFloat16RoundsToNearestEven) {
  EXPECT_EQ(static_cast<float>(BFloat16(1.0f)), 1.0f);
  EXPECT_EQ(static_cast<float>(BFloat16(1.0f + 0x1p-8f)), 1.0f);                // tie, to even
  EXPECT_EQ(static_cast<float>(BFloat16(1.0f + 3 * 0x1p-8f)), 1.0f + 0x1p-6f);  // tie, to even
  EXPECT_EQ(static_cast<float>(BFloat16(1.0f + 0x1.1p-8f)), 1.0f + 0x1p-7f);
  EXPECT_TRUE(std::isnan(static_cast<float>(BFloat16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_TRUE(std::isinf(static_cast<float>(BFloat16(std::numeric_limits<float>::infinity()))));
}

TEST(DType, ParsesItsOwnNamesAndRefusesOthers) {
  for (const DType d : {DType::kF32, DType::kBF16, DType::kU16, DType::kI64}) {
    EXPECT_EQ(ParseDType(Name(d)), d);
  }
  EXPECT_THROW(ParseDType("fp16"), ConfigError);
  EXPECT_THROW(ParseDType(Name(DType::kE4M3)), ConfigError) << "no file holds FP8";
}

}  // namespace
}  // namespace moat::core
