// What the environment says about waiting threads stays; where it says nothing, moat does.
#include "launch/openmp_waits.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

namespace moat::launch {
namespace {

using Variables = std::map<std::string, std::string>;

class OpenMpWaitsTest : public ::testing::Test {
 protected:
  void SetUp() override { Clear(); }
  void TearDown() override { Clear(); }

  static void Clear() {
    unsetenv("GOMP_SPINCOUNT");
    unsetenv("OMP_WAIT_POLICY");
  }
};

TEST_F(OpenMpWaitsTest, AreShortWhereNobodyHasSaidAnything) {
  SetOpenMpWaits();
  ASSERT_NE(std::getenv("GOMP_SPINCOUNT"), nullptr);
  const long turns = std::atol(std::getenv("GOMP_SPINCOUNT"));
  EXPECT_GT(turns, 0);
  EXPECT_LT(turns, 300'000);  // GCC's own
  EXPECT_EQ(OpenMpWaits(), (Variables{{"GOMP_SPINCOUNT", std::to_string(turns)}}));
}

TEST_F(OpenMpWaitsTest, AreTheUsersWhereThereIsOneOfThem) {
  setenv("OMP_WAIT_POLICY", "active", 1);
  SetOpenMpWaits();
  EXPECT_EQ(std::getenv("GOMP_SPINCOUNT"), nullptr);
  EXPECT_EQ(OpenMpWaits(), (Variables{{"OMP_WAIT_POLICY", "active"}}));
}

}  // namespace
}  // namespace moat::launch
