// Times as people write them.
#include "core/clock.h"

#include <gtest/gtest.h>

namespace moat::core {
namespace {

TEST(Clock, ReadsWhatItWritesAndUnixSeconds) {
  EXPECT_EQ(ParseTime("2026-03-01T12:00:00Z"), 1772366400);
  EXPECT_EQ(FormatUtc(1772366400ll * 1000000), "2026-03-01T12:00:00Z");
  EXPECT_EQ(ParseTime("1772366400"), 1772366400);
}

TEST(Clock, RefusesWhatIsNoTime) {
  for (const char* text : {"", "soon", "2026-03-01", "2026-03-01T12:00:00", "2026-03-01T12:00:00Zx",
                           "2026-13-01T12:00:00Z", "12.5"}) {
    EXPECT_FALSE(ParseTime(text)) << text;
  }
}

}  // namespace
}  // namespace moat::core
