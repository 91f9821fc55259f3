// Configurations that cannot be: each refused with the flag, what was expected, what was found.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "configs/generate_config.h"
#include "configs/import_config.h"
#include "configs/launch_config.h"
#include "configs/plan_config.h"
#include "configs/train_config.h"
#include "core/error.h"

namespace moat::configs {
namespace {

template <typename Config>
std::string ErrorOf(Config config, const std::function<void(Config&)>& change) {
  change(config);
  try {
    Validate(config);
  } catch (const core::ConfigError& error) {
    return error.what();
  }
  return "no error";
}

TEST(Validate, AcceptsTheDefaults) {
  EXPECT_NO_THROW(Validate(TrainConfig{}));
  EXPECT_NO_THROW(Validate(LaunchConfig{}));
}

TEST(ValidatePlan, RefusesHardwareThatIsNotKnownOrNotTheDevices) {
  EXPECT_NO_THROW(Validate(PlanConfig{}));
  const auto refusal = [](const char* hardware, const char* device) {
    return ErrorOf<PlanConfig>({}, [&](PlanConfig& c) {
      c.hardware = hardware;
      c.launch.train.device = device;
    });
  };
  EXPECT_THAT(refusal("h1000", "auto"), ::testing::HasSubstr("did you mean h100?"));
  EXPECT_THAT(refusal("H200", "auto"), ::testing::HasSubstr("did you mean h200?"));
  EXPECT_THAT(refusal("abacus", "auto"), ::testing::HasSubstr("one of cpu, h200-nvl, h200, "));
  EXPECT_THAT(refusal("h100", "cpu"), ::testing::HasSubstr("--device=cpu with --hardware=h100"));
  EXPECT_THAT(refusal("cpu", "cuda"), ::testing::HasSubstr("--device=cuda with --hardware=cpu"));
  EXPECT_EQ(refusal("h100", "cuda"), "no error");
  EXPECT_EQ(refusal("cpu", "auto"), "no error");
}

TEST(ValidatePlan, RefusesFp8OnHardwareThatHasNone) {
  const auto refusal = [](const char* hardware) {
    return ErrorOf<PlanConfig>({}, [&](PlanConfig& c) {
      c.hardware = hardware;
      c.launch.train.dtype = core::DType::kBF16;
      c.launch.train.matmul_dtype = MatmulDType::kFp8;
    });
  };
  EXPECT_THAT(refusal("a40"), ::testing::HasSubstr("capability 8.9, and it has 8.6"));
  EXPECT_EQ(refusal("l4"), "no error");
  EXPECT_EQ(refusal("h100"), "no error");
  EXPECT_EQ(refusal("cpu"), "no error");
}

TEST(ValidatePlan, RefusesSharesAndSizesThatAreNone) {
  for (const double share : {0.0, 1.1, -0.4, std::nan("")}) {
    EXPECT_THAT(ErrorOf<PlanConfig>({}, [&](PlanConfig& c) { c.utilization = share; }),
                ::testing::StartsWith("--utilization="));
  }
  EXPECT_THAT(ErrorOf<PlanConfig>({}, [](PlanConfig& c) { c.device_memory = -1; }),
              ::testing::StartsWith("--device_memory=-1"));
}

TEST(PlannedDevice, IsWhatAnyFlagSays) {
  PlanConfig plan;
  EXPECT_EQ(DeviceOf(plan), std::nullopt);
  plan.launch.slurm.gpus_per_node = 4;
  EXPECT_EQ(DeviceOf(plan), core::DeviceKind::kCuda);
  plan.hardware = "cpu";
  EXPECT_EQ(DeviceOf(plan), core::DeviceKind::kCpu);
  plan.hardware = "a100";
  EXPECT_EQ(DeviceOf(plan), core::DeviceKind::kCuda);
  plan = {};
  plan.launch.train.device = "cpu";
  EXPECT_EQ(DeviceOf(plan), core::DeviceKind::kCpu);
}

TEST(SlurmSeconds, ReadsEveryFormThatSbatchTakes) {
  const std::pair<const char*, double> cases[] = {{"90", 5400},       {"2:30", 150},
                                                  {"01:00:00", 3600}, {"2-12", 216000},
                                                  {"1-00:30", 88200}, {"7-00:00:01", 604801}};
  for (const auto& [text, seconds] : cases) EXPECT_EQ(SlurmSeconds(text), seconds) << text;
  for (const char* text : {"", "an hour", "1h", "-1", "1:2:3:4"}) {
    EXPECT_EQ(SlurmSeconds(text), std::nullopt) << text;
  }
}

TEST(Validate, RefusesEachImpossibleLaunchConfig) {
  using C = LaunchConfig;
  const std::pair<std::function<void(C&)>, std::string> cases[] = {
      {[](C& c) { c.nodes = 2; }, "--nodes=2: expected 1 with --on=local"},
      {[](C& c) { c.starter = Starter::kSrun; }, "--starter=srun: expected auto or mpirun"},
      {[](C& c) { c.parsable = true; }, "it goes with --on=slurm"},
      {[](C& c) { c.on = LaunchOn::kSlurm, c.hostfile = "h"; }, "--hostfile=h: expected none"},
      {[](C& c) { c.on = LaunchOn::kSlurm, c.slurm.time = "soon"; }, "--time=soon: expected"},
      {[](C& c) { c.on = LaunchOn::kSlurm, c.slurm.time = "1"; }, "more than --grace=60"},
      {[](C& c) { c.on = LaunchOn::kSlurm, c.slurm.sbatch = {"ib"}; }, "--sbatch=ib: expected"},
      {[](C& c) { c.on = LaunchOn::kSlurm, c.slurm.account = "a\nb"; }, "expected a single line"},
      {[](C& c) { c.on = LaunchOn::kSlurm, c.slurm.gpu_request = "--gres=gpu:4"; },
       "with GPUS where their number stands"}};
  for (const auto& [change, text] : cases) {
    EXPECT_THAT(ErrorOf<C>({}, change), ::testing::HasSubstr(text));
  }
  EXPECT_THROW(ParseEnv({"3=4"}), core::ConfigError);
  EXPECT_EQ(ParseEnv({"A=b=c", "A=d"}).at("A"), "d");
}

TEST(Validate, RefusesEachImpossibleTrainConfig) {
  using C = TrainConfig;
  const std::pair<std::function<void(C&)>, std::string> cases[] = {
      {[](C& c) { c.model.heads = 3; }, "heads x head width = width"},
      {[](C& c) { c.model.kv_heads = 3; }, "heads / kv_heads = 4 / 3 is not whole"},
      {[](C& c) { c.model.width = 12; }, "is odd"},
      {[](C& c) { c.model.layers = 0; }, "--layers=0: expected a whole number of at least 1"},
      {[](C& c) { c.model.dropout = 1; }, "--dropout=1"},
      {[](C& c) { c.model.dropout = NAN; }, "--dropout=nan"},
      {[](C& c) { c.model.seq_len = 1; }, "--seq_len=1"},
      {[](C& c) { c.lr = NAN; }, "--lr=nan: expected a number above 0"},
      {[](C& c) { c.lr = -1; }, "--lr=-1"},
      {[](C& c) { c.lr = INFINITY; }, "--lr=inf"},
      {[](C& c) { c.beta2 = 1; }, "--beta2=1"},
      {[](C& c) { c.clip = -1; }, "--clip=-1"},
      {[](C& c) { c.warmup = -1; }, "--warmup=-1"},
      {[](C& c) { c.micro_batch = 3; }, "global_batch / micro_batch = 16 / 3 is not whole"},
      {[](C& c) { c.dp = 3; }, "global_batch / micro_batch / dp = 16 / 2 / 3 is not whole"},
      {[](C& c) { c.dp = 0; }, "--dp=0"},
      {[](C& c) { c.steps = 0; }, "--steps=0"},
      {[](C& c) { c.keep_checkpoints = 1; }, "--keep_checkpoints=1"},
      {[](C& c) {
         c.data = {"a", ""};
       },
       "--data=: expected a data set directory"},
      {[](C& c) {
         c.data = {"a", "b", "x/../a/"};
       },
       "--data=x/../a/ is given twice"},
      {[](C& c) { c.data = {"a"}, c.data_version = {-1}; }, "--data_version=-1"},
      {[](C& c) {
         c.data = {"a", "b"}, c.data_version = {2};
       },
       "--data_version has 1 value for 2 data sets"},
      {[](C& c) {
         c.data = {"a", "b"}, c.data_weights = {1, 2, 3};
       },
       "--data_weights has 3 values for 2 data sets"},
      {[](C& c) {
         c.data = {"a", "b"}, c.data_weights = {1, 0};
       },
       "--data_weights=0: expected a number above 0"},
      {[](C& c) {
         c.data = {"a", "b"}, c.data_weights = {1, -1};
       },
       "--data_weights=-1"},
      {[](C& c) {
         c.data = {"a", "b"}, c.data_weights = {NAN, 1};
       },
       "--data_weights=nan"},
      {[](C& c) {
         c.data = {"a", "b"}, c.data_weights = {1, INFINITY};
       },
       "--data_weights=inf"},
      {[](C& c) {
         c.data = {"a", "b"}, c.data_weights = {1, 1e-7};
       },
       "--data_weights=1e-07: expected at least a millionth"},
      {[](C& c) {
         c.data = {"a", "b"}, c.data_weights = {1e308, 1e308};
       },
       "a millionth"},
      {[](C& c) { c.loss_roles = {"asistant"}; }, "did you mean assistant?"},
      {[](C& c) { c.loss_roles = {}; }, "at least one role"},
      {[](C& c) { c.loss_roles = {"user=x"}; }, "--loss_roles=user=x: expected a weight from 0"},
      {[](C& c) { c.loss_roles = {"user="}; }, "a weight from 0"},
      {[](C& c) { c.loss_roles = {"user=-1"}; }, "a weight from 0"},
      {[](C& c) { c.loss_roles = {"user=nan"}; }, "a weight from 0"},
      {[](C& c) { c.loss_roles = {"user=inf"}; }, "a weight from 0"},
      {[](C& c) { c.loss_roles = {"usr=1"}; }, "did you mean user?"},
      {[](C& c) {
         c.loss_roles = {"all", "all=0"};
       },
       "a role that weighs more than 0"},
      {[](C& c) { c.pack = "dense"; }, "--pack=dense: expected separate or concat"},
      {[](C& c) { c.resume = "latest"; }, "--resume=latest: expected auto, never or the number"},
      {[](C& c) { c.device = "tpu"; }, "--device=tpu: expected auto, cpu or cuda"},
      {[](C& c) { c.profile_steps = "3"; }, "--profile_steps=3: expected FIRST:LAST"},
      {[](C& c) { c.profile_steps = "3:2"; }, "--profile_steps=3:2: expected FIRST:LAST"},
      {[](C& c) { c.profile_steps = "3:4x"; }, "--profile_steps=3:4x: expected FIRST:LAST"},
      {[](C& c) { c.peak_tflops = -1; }, "--peak_tflops=-1: expected 0 or more"},
      {[](C& c) { c.dtype = core::DType::kU8; }, "--dtype=u8"},
      {[](C& c) { c.matmul_dtype = MatmulDType::kFp8; },
       "--matmul_dtype=fp8 with --dtype=f32: FP8 products are of weights and activations in bf16"},
      {[](C& c) {
         c.matmul_dtype = MatmulDType::kFp8, c.dtype = core::DType::kBF16;
         c.model.ffn = 96, c.tp = 4;
       },
       "--ffn / tp = 24, and FP8 products take multiples of 16"},
      {[](C& c) { c.tp = 3; }, "heads / tp = 4 / 3 is not whole"},
      {[](C& c) {
         c.tp = 2, c.model.width = 24, c.model.heads = 6, c.model.kv_heads = 3, c.model.ffn = 60;
       },
       "kv_heads / tp = 3 / 2 is not whole, nor is tp / kv_heads; a --tp of 1, 3, 6 would do"},
      {[](C& c) { c.tp = 4, c.model.ffn = 702; },
       "ffn / tp = 702 / 4 is not whole; a --tp of 1, 2 would do"},
      {[](C& c) { c.tp = 4, c.sequence_parallel = true, c.model.seq_len = 30; },
       "seq_len / tp = 30 / 4 is not whole, which --sequence_parallel needs"},
      {[](C& c) { c.tp = 4, c.model.vocab_size = 3; }, "vocab_size / tp = 3 / 4 leaves a rank"},
  };
  for (const auto& [change, message] : cases) {
    EXPECT_THAT(ErrorOf<C>(C{}, change), ::testing::HasSubstr(message));
  }
}

TEST(Validate, RefusesEachImpossibleImportGenerationAndLaunch) {
  ImportConfig import_config;
  EXPECT_THAT(ErrorOf<ImportConfig>(import_config, [](auto&) {}),
              ::testing::HasSubstr("--in=PATH"));
  import_config.in = {"a"};
  EXPECT_THAT(ErrorOf<ImportConfig>(import_config, [](auto&) {}),
              ::testing::HasSubstr("--out=DIR"));
  import_config.out = "o";
  EXPECT_NO_THROW(Validate(import_config));
  EXPECT_THAT(ErrorOf<ImportConfig>(import_config, [](auto& c) { c.vocab_size = 100; }),
              ::testing::HasSubstr("--vocab_size=100"));
  EXPECT_THAT(ErrorOf<ImportConfig>(import_config, [](auto& c) { c.validation_fraction = 1; }),
              ::testing::HasSubstr("--validation_fraction=1"));
  EXPECT_THAT(ErrorOf<GenerateConfig>({}, [](auto&) {}), ::testing::HasSubstr("--run=NAME"));
  EXPECT_THAT(ErrorOf<GenerateConfig>({}, [](auto& c) { c.run = "r", c.top_p = 0; }),
              ::testing::HasSubstr("--top_p=0"));
}

TEST(Validate, AHangTimeoutIsNotNegative) {
  EXPECT_THAT(ErrorOf<LaunchConfig>({}, [](auto& c) { c.hang_timeout = -1; }),
              ::testing::HasSubstr("--hang_timeout=-1"));
}

}  // namespace
}  // namespace moat::configs
