// The presets that ship: each reads, validates and runs on two ranks.
#include <gtest/gtest.h>

#include "configs/command_line.h"

namespace moat::configs {
namespace {

TEST(Presets, ReadAndValidate) {
  for (const std::string name : {"quickstart", "ablation", "coffee"}) {
    const std::string file = std::string(MOAT_SOURCE_DIR) + "/configs/" + name + ".flags";
    const auto line =
        CommandLine::Parse("launch", {"--flagfile=" + file, "--data=d", "--run=r", "--dp=2"});
    const LaunchConfig config = LaunchConfigFromFlags(line);
    EXPECT_EQ(config.train.global_batch / config.train.micro_batch % 4, 0)
        << name << ": dp=4 should give the same bits";
  }
}

}  // namespace
}  // namespace moat::configs
