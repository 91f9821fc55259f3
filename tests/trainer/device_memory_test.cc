// What does not fit is told before it is allocated, by part, with what would help.
#include "trainer/device_memory.h"

#include <gtest/gtest.h>

#include "comm/self.h"
#include "comm/threads.h"
#include "core/error.h"
#include "tests/support/errors.h"

namespace moat::trainer {
namespace {

configs::ModelConfig Small() {
  configs::ModelConfig model;
  model.layers = 4;
  model.width = 64;
  model.heads = 4;
  model.kv_heads = 4;
  model.ffn = 128;
  model.vocab_size = 512;
  model.seq_len = 128;
  return model;
}

model::MemoryOptions OnGpu(int dp) {
  model::MemoryOptions options;
  options.passes.rows = 8;
  options.passes.device = core::DeviceKind::kCuda;
  options.dp = dp;
  options.snapshots = true;
  return options;
}

core::Bytes Needed(model::MemoryOptions options) {
  options.snapshots = false;
  return model::PlanMemory(Small(), options).total;
}

// Of a rank alone on its device.
void CheckFits(const configs::ModelConfig& model, const model::MemoryOptions& options,
               core::Bytes free) {
  trainer::CheckFits(model, options, {"GPU", {}, free}, *comm::MakeSelf());
}

std::string Refusal(const model::MemoryOptions& options, core::Bytes free) {
  return testing::ErrorOf(core::ExitCode::kOutOfMemory, [&] { CheckFits(Small(), options, free); });
}

TEST(DeviceMemory, APlanThatFitsToTheByteIsTaken) {
  const core::Bytes needed = Needed(OnGpu(1));
  CheckFits(Small(), OnGpu(1), needed);
  EXPECT_NE("", Refusal(OnGpu(1), core::Bytes(needed.value - 1)));
}

// What ranks throw that see so much free on their devices, by rank; "" where all fits.
std::vector<std::string> RefusalsOf(const std::vector<DeviceRoom>& rooms, int ranks_per_node,
                                    int failed) {
  std::vector<std::string> said(rooms.size());
  comm::ThreadGroup::Run(
      static_cast<int>(rooms.size()),
      [&](comm::Communicator& world) {
        const auto rank = static_cast<size_t>(world.rank());
        try {
          CheckFits(Small(), OnGpu(1), rooms[rank], world);
        } catch (const core::OutOfMemoryError& error) {
          said[rank] = error.what();
          EXPECT_EQ(error.failed().value_or(core::FailedRank{world.rank(), ""}).rank, failed);
        }
      },
      comm::kDefaultDeadlineSeconds, ranks_per_node);
  return said;
}

TEST(DeviceMemory, ARankWhoseDeviceIsTooSmallIsNamedOnAllRanks) {
  const core::Bytes enough = Needed(OnGpu(1)), little(enough.value - 1);
  const auto said = RefusalsOf({{"A", {0}, enough}, {"B", {1}, little}, {"C", {2}, enough}}, 1, 1);
  EXPECT_NE(std::string::npos, said[0].find("the tensors of rank 1 need ")) << said[0];
  EXPECT_NE(std::string::npos, said[0].find(" on its device, B, which has ")) << said[0];
  EXPECT_EQ(said[1], said[0]);
  EXPECT_EQ(said[2], said[0]);
}

TEST(DeviceMemory, RanksOfADeviceShareWhatIsFreeWhenTheLastOneHasLooked) {
  const int64_t both = 2 * Needed(OnGpu(1)).value;
  const core::Bytes early(both + 1000), enough(both), little(both - 1);
  const std::vector<std::string> nothing(3);
  EXPECT_EQ(RefusalsOf({{"A", {0, 1}, early}, {"A", {0, 1}, enough}, {"B", {2}, early}}, 3, -1),
            nothing);
  const auto said =
      RefusalsOf({{"B", {0}, early}, {"A", {1, 2}, early}, {"A", {1, 2}, little}}, 3, 1);
  EXPECT_NE(std::string::npos, said[0].find(" free for each of the 2 ranks on it: ")) << said[0];
  EXPECT_EQ(said[2], said[0]);
}

TEST(DeviceMemory, TheSnapshotIsTheHosts) {
  EXPECT_GT(model::PlanMemory(Small(), OnGpu(1)).total.value, Needed(OnGpu(1)).value);
}

// Half of a half of its MLP is 24 wide, and 16 does not divide that.
TEST(DeviceMemory, ASplitThatProductsInFp8CannotTakeIsNoHelp) {
  configs::ModelConfig model = Small();
  model.ffn = 96;
  model::MemoryOptions options = OnGpu(1);
  options.passes.dtype = core::DType::kBF16;
  options.passes.tp = 2;
  const auto said = [&] {
    return testing::ErrorOf(core::ExitCode::kOutOfMemory,
                            [&] { CheckFits(model, options, core::Bytes(1000)); });
  };
  EXPECT_NE(std::string::npos, said().find("--tp=4")) << said();
  options.passes.matmul_dtype = configs::MatmulDType::kFp8;
  EXPECT_EQ(std::string::npos, said().find("--tp=")) << said();
}

TEST(DeviceMemory, NamesThePartsAndWhatWouldHelpTheMost) {
  const std::string said = Refusal(OnGpu(2), core::Bytes(1000));
  for (const char* part : {"weights ", "gradients ", "optimizer ", "activations "}) {
    EXPECT_NE(std::string::npos, said.find(part)) << said;
  }
  EXPECT_EQ(std::string::npos, said.find("snapshot")) << said;
  for (const char* flag : {"--micro_batch=4", "--recompute=block", "--zero=1", "--tp=2"}) {
    EXPECT_NE(std::string::npos, said.find(flag)) << said;
  }
  // Activations are most of this model: half of them count for more than half of two moments.
  EXPECT_LT(said.find("--micro_batch=4"), said.find("--zero=1")) << said;
}

TEST(DeviceMemory, SaysWhichFlagWouldMakeItFit) {
  model::MemoryOptions half = OnGpu(1);
  half.passes.rows = 4;
  const std::string said = Refusal(OnGpu(1), Needed(half));
  EXPECT_NE(std::string::npos,
            said.find("--micro_batch=4 would make it " + core::Format(Needed(half)) + " (it fits)"))
      << said;
}

TEST(DeviceMemory, WhatCannotBeChangedIsNotProposed) {
  model::MemoryOptions least = OnGpu(1);
  least.passes.rows = 1;
  least.passes.recompute = configs::Recompute::kBlock;
  least.passes.tp = 4;
  EXPECT_NE(std::string::npos, Refusal(least, core::Bytes(1000)).find("use a smaller model"));
}

TEST(DeviceMemory, OfACpuIsNotTold) {
  DeviceMemory memory(core::DeviceKind::kCpu);
  EXPECT_EQ(memory.room().value, 0);
  EXPECT_EQ(memory.Peak().value, 0);
}

}  // namespace
}  // namespace moat::trainer
