// Units printed for people.
#include "core/units.h"

#include <gtest/gtest.h>

namespace moat::core {
namespace {

TEST(Units, PrintForPeople) {
  EXPECT_EQ(Format(Bytes(17)), "17 B");
  EXPECT_EQ(Format(Bytes(1536)), "1.5 KiB");
  EXPECT_EQ(Format(Bytes(int64_t{3} << 30)), "3.0 GiB");
  EXPECT_EQ(FormatCount(124439808), "124M");
  EXPECT_EQ(FormatCount(12), "12");
  EXPECT_EQ(FormatSeconds(4.25), "4.2s");
  EXPECT_EQ(FormatSeconds(200), "3m20s");
  EXPECT_EQ(FormatSeconds(3725), "1h02m");
}

}  // namespace
}  // namespace moat::core
