// What a plan says of a tiny model, against sums done by hand.
#include "launch/run_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "configs/command_line.h"
#include "core/error.h"
#include "model/architecture/architecture.h"
#include "tests/support/errors.h"

namespace moat::launch {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// 824 parameters: 10 x 8 in each of embedding and output, 4 x 8 x 8 in attention, 3 x 16 x 8 in the
// MLP, 3 x 8 in norms; 720 of them in products, all but embedding and norms.
RunPlan Plan(const std::vector<std::string>& more, int cores = 1) {
  std::vector<std::string> words = {
      "--layers=1",  "--width=8",        "--heads=2",       "--kv_heads=2", "--ffn=16",
      "--seq_len=4", "--global_batch=8", "--micro_batch=2", "--dp=2",       "--steps=100"};
  words.insert(words.end(), more.begin(), more.end());
  const auto line = configs::CommandLine::Parse("plan", words);
  return PlanRun(configs::PlanConfigFromFlags(line), 10, cores);
}

std::string Refusal(const std::vector<std::string>& flags) {
  return testing::ErrorOf(core::ExitCode::kConfig, [&] { Plan(flags); });
}

TEST(RunPlan, CountsAModelAndItsWorkAsByHand) {
  const RunPlan plan = Plan({});
  EXPECT_EQ(plan.parameters, 824);
  EXPECT_EQ(plan.in_products, 720);
  EXPECT_EQ(plan.flops_per_token, 6 * 720 + 6 * 1 * 8 * 4);
  EXPECT_EQ(plan.tokens_per_step, 8 * 4);
  EXPECT_EQ(plan.ways.micro_batches, 4);
  EXPECT_EQ(plan.ways.micro_batches_per_rank(), 2);
  EXPECT_EQ(plan.checkpoint.value, 824 * 12);
}

// Two data ranks share blocks of 4096: flat buffers of 8192 elements.
TEST(RunPlan, MemoryOfARankIsAsByHand) {
  const RunPlan f32 = Plan({});
  EXPECT_EQ(f32.memory.of("weights").value, 8192 * 4);
  EXPECT_EQ(f32.memory.of("gradients").value, 8192 * 4);
  EXPECT_EQ(f32.memory.of("optimizer").value, 4096 * 8);
  EXPECT_EQ(f32.memory.of("waiting sums").value, 8192 * 4);  // 2 ways a rank: one level
  EXPECT_EQ(f32.memory.of("snapshot").value, 4096 * 12);
  EXPECT_EQ(Plan({"--canonical_ways=2"}).memory.of("waiting sums").value, 0);
  const RunPlan bf16 = Plan({"--dtype=bf16"});
  EXPECT_EQ(bf16.memory.of("weights").value, 8192 * 2);
  EXPECT_EQ(bf16.memory.of("optimizer").value, 4096 * 12);
  EXPECT_EQ(Plan({"--zero=0", "--dtype=bf16"}).memory.of("weights").value, 8192 * 6);
  EXPECT_EQ(Plan({"--noasync_checkpoints"}).memory.of("snapshot").value, 0);
}

TEST(RunPlan, ActivationsAreThoseOfTheArchitecturesPlan) {
  const RunPlan plan = Plan({"--threads=3", "--recompute=block"});
  model::PlanOptions passes;
  passes.rows = 2;
  passes.threads = 3;
  passes.recompute = configs::Recompute::kBlock;
  configs::ModelConfig model = plan.config.launch.train.model;
  EXPECT_EQ(model.vocab_size, 10);
  EXPECT_EQ(plan.memory.of("activations").value, model::PlanActivations(model, passes).total.value);
}

TEST(RunPlan, BytesReceivedAreThoseOfTheFormulas) {
  EXPECT_EQ(Plan({}).data_received.value, 4096 * (4 + 4));
  EXPECT_EQ(Plan({"--dtype=bf16"}).data_received.value, 4096 * (4 + 2));
  EXPECT_EQ(Plan({}).tensor_received.value, 0);
  // 4L + 2 sums of 8 slots x width 8 in f32, there and back between two; 3 numbers a slot. Four
  // micro-batches.
  EXPECT_EQ(Plan({"--dp=1", "--tp=2"}).tensor_received.value,
            4 * (6 * 2 * (8 * 8 * 4 / 2) + 3 * 4 * 8));
}

TEST(RunPlan, TimeIsWorkOverAShareOfThePeakOfAllRanks) {
  const RunPlan plan =
      Plan({"--device=cuda", "--peak_tflops=1e-6", "--utilization=0.5"});  // 1e6 x 0.5 x 2
  ASSERT_TRUE(plan.time);
  EXPECT_DOUBLE_EQ(plan.time->step_seconds, 32 * 4512 / 1e6);
  EXPECT_DOUBLE_EQ(plan.time->total_seconds, 100 * 32 * 4512 / 1e6);
  EXPECT_DOUBLE_EQ(plan.time->tokens_per_second, 1e6 / 4512);
  EXPECT_THAT(ToText(plan), HasSubstr("assumed, not measured: 50% (--utilization) of 1e-06"));
}

TEST(RunPlan, WithoutAPeakThereIsNoTimeAndItSaysWhy) {
  EXPECT_FALSE(Plan({"--device=cuda"}).time);
  EXPECT_THAT(Plan({"--device=cuda"}).no_time, HasSubstr("--hardware=NAME"));
  EXPECT_THAT(Plan({"--peak_tflops=1"}).no_time, HasSubstr("on CPUs"));
  EXPECT_THAT(Plan({"--hardware=h100"}).no_time, HasSubstr("in f32"));
  EXPECT_EQ(Plan({"--hardware=h100", "--dtype=bf16"}).time->peak, 989.4e12);
}

TEST(RunPlan, AGpuHasItsMemoryLessTheReserve) {
  const RunPlan plan = Plan({"--hardware=h100"});
  EXPECT_EQ(plan.device, core::DeviceKind::kCuda);
  EXPECT_EQ(plan.room->value, (int64_t{81559} << 20) - kReserve.value);
  EXPECT_TRUE(plan.fits());
  EXPECT_LT(plan.asked_grid().memory.total, plan.memory.total);  // the snapshot is the host's
  EXPECT_EQ(plan.asked_grid().memory.of("snapshot").value, 0);
}

TEST(RunPlan, RanksOfANodeShareItsMemoryWhereTheyComputeOnCpus) {
  const RunPlan plan = Plan({"--hardware=cpu", "--device_memory=3"});
  EXPECT_EQ(plan.room->value, int64_t{1} << 30);
  EXPECT_EQ(plan.asked_grid().memory.total, plan.memory.total);
}

TEST(RunPlan, RanksShareAGpuWhereThereAreFewerThanRanks) {
  const RunPlan plan = Plan({"--hardware=h100", "--dtype=bf16", "--gpus_per_node=1"});
  EXPECT_EQ(plan.room->value, ((int64_t{81559} << 20) - kReserve.value) / 2);
  EXPECT_DOUBLE_EQ(plan.time->step_seconds,
                   2 * Plan({"--hardware=h100", "--dtype=bf16"}).time->step_seconds);
  EXPECT_THAT(ToText(plan), HasSubstr("shared by 2 ranks"));
}

TEST(RunPlan, AGridThatDoesNotFitSaysSoAndWhatWouldHelp) {
  const RunPlan plan = Plan({"--hardware=h100", "--device_memory=1", "--zero=0"});
  EXPECT_FALSE(plan.fits());
  EXPECT_THAT(ToText(plan), HasSubstr("it does not fit"));
  const auto json = nlohmann::json::parse(ToJson(plan));
  EXPECT_EQ(json["hardware"]["fits"], false);
  std::vector<std::string> flags;
  for (const auto& help : json["hardware"]["helps"]) flags.push_back(help["flag"]);
  EXPECT_THAT(flags, ::testing::ElementsAre("--canonical_ways=2", "--tp=2", "--micro_batch=1"));
}

TEST(RunPlan, WithoutAMemoryItIsNotSaidWhetherItFits) {
  const RunPlan plan = Plan({});
  EXPECT_FALSE(plan.asked_grid().fits);
  EXPECT_TRUE(plan.fits());
  EXPECT_TRUE(nlohmann::json::parse(ToJson(plan))["hardware"]["fits"].is_null());
}

TEST(RunPlan, AllGridsOfTheRanksAreShownAndTheAskedOneIsMarked) {
  const RunPlan plan = Plan({"--tp=2", "--zero=0"});  // four ranks
  std::vector<std::vector<int>> grids;
  for (const GridPlan& grid : plan.grids) grids.push_back({grid.dp, grid.tp, grid.zero});
  EXPECT_THAT(grids, ::testing::ElementsAre(std::vector{4, 1, 1}, std::vector{4, 1, 0},
                                            std::vector{2, 2, 1}, std::vector{2, 2, 0},
                                            std::vector{1, 4, 0}));
  EXPECT_EQ(plan.asked, 3u);
  EXPECT_EQ(plan.asked_grid().memory.total, plan.memory.total);
  EXPECT_THAT(plan.grids[4].refused, HasSubstr("heads / tp = 2 / 4 is not whole"));
  EXPECT_THAT(ToText(plan), HasSubstr("not dp=1 x tp=4: heads / tp"));
  EXPECT_THAT(ToText(plan), HasSubstr("\n*   2   2     0 "));
}

TEST(RunPlan, TensorGroupsStayWithinANode) {
  for (const GridPlan& grid : Plan({"--nodes=2", "--ranks_per_node=2", "--dp=-1"}).grids) {
    EXPECT_LE(grid.tp, 2);
    EXPECT_EQ(grid.dp * grid.tp, 4);
  }
}

TEST(RunPlan, AGridThatARunWouldRefuseIsRefused) {
  EXPECT_THAT(Refusal({"--tp=4"}), HasSubstr("heads / tp = 2 / 4 is not whole"));
  EXPECT_THAT(Refusal({"--dp=3"}), HasSubstr("is not whole"));
  EXPECT_THAT(Refusal({"--nodes=2", "--ranks_per_node=3", "--dp=2"}), HasSubstr("do not fit"));
  EXPECT_THAT(Refusal({"--vocab_size=1", "--tp=2", "--dp=1"}), HasSubstr("without a token"));
}

TEST(RunPlan, SaysWhatItAssumesAndNothingWhereAllIsSaid) {
  const auto line = configs::CommandLine::Parse("plan", {});
  const RunPlan plan = PlanRun(configs::PlanConfigFromFlags(line), std::nullopt, 2);
  EXPECT_THAT(plan.assumptions,
              ::testing::ElementsAre(HasSubstr("vocabulary of 4096"), HasSubstr("one data rank"),
                                     HasSubstr("on CPUs"), HasSubstr("--threads=2, by the cores")));
  const auto typo = configs::CommandLine::Parse("plan", {"--data=sets/mien"});
  EXPECT_THAT(PlanRun(configs::PlanConfigFromFlags(typo), std::nullopt, 2).assumptions.front(),
              HasSubstr("no data set in sets/mien"));
  EXPECT_THAT(Plan({"--device=cpu", "--threads=1"}).assumptions, IsEmpty());
  EXPECT_THAT(Plan({"--device=cuda"}).assumptions, IsEmpty());
}

TEST(RunPlan, KeepsNewestBestMilestonesAndTheOneThatIsWritten) {
  const std::vector<std::string> flags = {"--checkpoint_every=10", "--eval_every=10"};
  EXPECT_EQ(Plan(flags).checkpoints_kept, 2 + 1 + 1);
  EXPECT_EQ(Plan({flags[0], flags[1], "--keep_every=50"}).checkpoints_kept, 2 + 2 + 1 + 1);
  // Of the multiples of 25 only 50 and 100 are saved.
  EXPECT_EQ(Plan({flags[0], flags[1], "--keep_every=25"}).checkpoints_kept, 2 + 2 + 1 + 1);
  EXPECT_EQ(Plan({"--checkpoint_every=0", "--eval_every=0"}).checkpoints_kept, 1);
}

TEST(RunPlan, WithoutHardwareItSaysThatItDoesNotSayWhetherItFits) {
  EXPECT_THAT(ToText(Plan({"--device=cuda"})), HasSubstr("\nfit: not said; --hardware=NAME"));
  const auto json = nlohmann::json::parse(ToJson(Plan({"--tp=2", "--device=cuda"})));
  EXPECT_TRUE(json["hardware"]["name"].is_null());
  EXPECT_TRUE(json["grids"][4].contains("refused"));
  EXPECT_TRUE(json["grids"][4]["fits"].is_null());
}

TEST(RunPlan, JsonSaysWhatTheTextDoes) {
  const auto json = nlohmann::json::parse(
      ToJson(Plan({"--hardware=h100", "--dtype=bf16", "--run=r", "--data=d"})));
  EXPECT_EQ(json["model"]["parameters"], 824);
  EXPECT_EQ(json["grid"]["dp"], 2);
  EXPECT_EQ(json["grid"]["micro_batches_per_rank"], 2);
  EXPECT_EQ(json["memory_bytes"]["weights"], 8192 * 2);
  EXPECT_EQ(json["hardware"]["fits"], true);
  EXPECT_EQ(json["hardware"]["name"], "h100");
  EXPECT_EQ(json["time"]["measured"], false);
  EXPECT_EQ(json["time"]["utilization"], 0.4);
  EXPECT_EQ(json["checkpoints"]["bytes"], 824 * 12);
  EXPECT_EQ(json["received_per_step_bytes"]["data"], 4096 * 6);
  EXPECT_EQ(json["work"]["flops_per_step"], 32 * 4512);
  EXPECT_EQ(json["memory_bytes"]["waiting_sums"], 8192 * 4);
  EXPECT_EQ(json["grids"].size(), 3u);
  EXPECT_EQ(json["grids"][0]["asked"], true);
}

}  // namespace
}  // namespace moat::launch
