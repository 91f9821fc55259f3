// The nearest known name.
#include "core/nearest.h"

#include <gtest/gtest.h>

namespace moat::core {
namespace {

TEST(NearestName, FindsATypoAndRefusesAStranger) {
  const std::vector<std::string> names = {"global_batch", "micro_batch", "lr"};
  EXPECT_EQ(NearestName("globl_batch", names), "global_batch");
  EXPECT_EQ(NearestName("ld", names), "lr");
  EXPECT_EQ(NearestName("something_else", names), "");
}

}  // namespace
}  // namespace moat::core
