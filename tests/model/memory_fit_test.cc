// What does not fit is told before it is allocated, by part, with what would help.
#include "model/architecture/memory_fit.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/model/small_plan.h"
#include "tests/support/errors.h"

namespace moat::model {
namespace {

using testing::Needed;
using testing::OnGpu;
using testing::Small;

std::string Refusal(const MemoryOptions& options, core::Bytes free) {
  return testing::ErrorOf(core::ExitCode::kOutOfMemory, [&] { CheckFits(Small(), options, free); });
}

TEST(MemoryFit, APlanThatFitsToTheByteIsTaken) {
  const core::Bytes needed = Needed(OnGpu(1));
  CheckFits(Small(), OnGpu(1), needed);
  EXPECT_NE("", Refusal(OnGpu(1), core::Bytes(needed.value - 1)));
}

TEST(MemoryFit, TheSnapshotIsTheHosts) {
  EXPECT_GT(PlanMemory(Small(), OnGpu(1)).total.value, Needed(OnGpu(1)).value);
}

// Half of a half of its MLP is 24 wide, and 16 does not divide that.
TEST(MemoryFit, ASplitThatProductsInFp8CannotTakeIsNoHelp) {
  configs::ModelConfig model = Small();
  model.ffn = 96;
  MemoryOptions options = OnGpu(1);
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

TEST(MemoryFit, NamesThePartsAndWhatWouldHelpTheMost) {
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

TEST(MemoryFit, SaysWhichFlagWouldMakeItFit) {
  MemoryOptions half = OnGpu(1);
  half.passes.rows = 4;
  const std::string said = Refusal(OnGpu(1), Needed(half));
  EXPECT_NE(std::string::npos,
            said.find("--micro_batch=4 would make it " + core::Format(Needed(half)) + " (it fits)"))
      << said;
}

TEST(MemoryFit, OneWayARankSavesTheSumsThatWait) {
  MemoryOptions options = OnGpu(2);
  EXPECT_EQ(std::string::npos, Refusal(options, core::Bytes(1000)).find("--canonical_ways"));
  options.waiting_sums = 2;
  EXPECT_NE(std::string::npos,
            Refusal(options, core::Bytes(1000))
                .find("--canonical_ways=2 would make it " + core::Format(Needed(OnGpu(2)))));
}

TEST(MemoryFit, WhatCannotBeChangedIsNotProposed) {
  MemoryOptions least = OnGpu(1);
  least.passes.rows = 1;
  least.passes.recompute = configs::Recompute::kBlock;
  least.passes.tp = 4;
  EXPECT_NE(std::string::npos, Refusal(least, core::Bytes(1000)).find("use a smaller model"));
}

}  // namespace
}  // namespace moat::model
