// The presets that ship: each reads, validates and runs on two ranks.
#include <gtest/gtest.h>

#include "configs/command_line.h"

namespace moat::configs {
namespace {

TrainConfig Preset(const std::string& name) {
  const std::string file = std::string(MOAT_SOURCE_DIR) + "/configs/" + name + ".flags";
  return LaunchConfigFromFlags(
             CommandLine::Parse("launch", {"--flagfile=" + file, "--data=d", "--run=r", "--dp=2"}))
      .train;
}

TEST(Presets, ReadAndValidate) {
  for (const std::string name : {"quickstart", "ablation", "coffee", "gpt2_124m", "gpt2_350m",
                                 "gpt2_774m", "gpt2_1558m", "llama_1b"}) {
    const TrainConfig train = Preset(name);
    EXPECT_EQ(train.global_batch / train.micro_batch % 4, 0)
        << name << ": dp=4 should give the same bits";
  }
}

}  // namespace
}  // namespace moat::configs
