// The nearest known name.
#include "core/nearest.h"

#include <gtest/gtest.h>

#include "core/durable_file.h"
#include "tests/support/temporary_directory.h"

namespace moat::core {
namespace {

TEST(NearestName, FindsATypoAndRefusesAStranger) {
  const std::vector<std::string> names = {"global_batch", "micro_batch", "lr"};
  EXPECT_EQ(NearestName("globl_batch", names), "global_batch");
  EXPECT_EQ(NearestName("ld", names), "lr");
  EXPECT_EQ(NearestName("something_else", names), "");
}

TEST(NearestPath, IsWhatLiesThereUnderTheNearestName) {
  const testing::TemporaryDirectory directory;
  for (const char* name : {"gpt2_124m.flags", "gpt2_1558m.flags", "mine"}) {
    WriteFileAtomically(directory / name, "");
  }
  EXPECT_EQ(NearestPath("gpt_124m.flags", directory.path()), directory / "gpt2_124m.flags");
  EXPECT_EQ(NearestPath("elsewhere/gpt2_124m.flag", directory.path()),
            directory / "gpt2_124m.flags");
  EXPECT_EQ(NearestPath("nine", directory.path()), directory / "mine");
  EXPECT_EQ(NearestPath("yours.flags", directory.path()), "") << "an extension makes none alike";
  EXPECT_EQ(NearestPath("nine", directory / "absent"), "");
}

}  // namespace
}  // namespace moat::core
