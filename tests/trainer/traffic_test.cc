// The bytes that a step moves are those of docs/parallelism.md.
#include <gtest/gtest.h>

#include "comm/self.h"
#include "comm/threads.h"
#include "data/batch.h"
#include "model/architecture/data_traffic.h"
#include "trainer/training_step.h"

namespace moat::trainer {
namespace {

configs::TrainConfig Config(int zero, core::DType dtype) {
  configs::TrainConfig config;
  config.model.vocab_size = 500;
  config.model.layers = 1;
  config.model.width = 64;
  config.model.heads = config.model.kv_heads = 4;
  config.model.ffn = 128;
  config.model.seq_len = 16;
  config.global_batch = 8;
  config.micro_batch = 1;
  config.zero = zero;
  config.dtype = dtype;
  return config;
}

data::Batch OneRow(const configs::TrainConfig& config) {
  data::Batch batch;
  batch.rows = 1;
  batch.seq_len = config.model.seq_len;
  batch.samples = {0};
  for (int32_t t = 0; t < batch.seq_len; ++t) {
    batch.tokens.push_back(t);
    batch.targets.push_back(t + 1);
    batch.span_start.push_back(0);
    batch.weights.push_back(1);
  }
  return batch;
}

// What a rank received of gradients and weights in one step, and of how many padded elements.
struct Moved {
  uint64_t bytes = 0;
  int64_t elements = 0;
};

Moved Step(const configs::TrainConfig& config, int dp) {
  Moved moved;
  comm::ThreadGroup::Run(dp, [&](comm::Communicator& world) {
    std::vector<int> all;
    for (int r = 0; r < dp; ++r) all.push_back(r);
    const auto data = world.Group("data", all);
    const auto alone = comm::MakeSelf("tensor");
    tensor::Stream stream;
    model::Transformer model(config.model, ModelOptions(config, dp, nullptr), stream);
    Optimizer optimizer(config, model, *data, stream);
    optimizer.InitializeWeights(1);
    const auto ways = parallel::MakeCanonicalWays(config.global_batch, 1, dp, 0);
    TrainingStep step(config, ways, model, optimizer, {world, *data, *alone}, stream);
    const uint64_t before = data->traffic().received_bytes;
    step.Run(
        1, [&] { return OneRow(config); }, [] { return ControlWords{}; });
    if (world.rank() == 0) {
      moved = {data->traffic().received_bytes - before, optimizer.plan().padded()};
    }
  });
  return moved;
}

TEST(Traffic, AStepMovesWhatTheFormulaSays) {
  for (const int dp : {2, 4, 8}) {
    for (const int zero : {0, 1}) {
      for (const core::DType dtype : {core::DType::kF32, core::DType::kBF16}) {
        const Moved moved = Step(Config(zero, dtype), dp);
        const model::MemoryOptions plan = model::MemoryOptionsOf(Config(zero, dtype), {.dp = dp});
        const auto planned =
            static_cast<double>(model::DataTrafficOfStep(Config(zero, dtype).model, plan).value);
        // Besides: the squares of the norm's blocks, 8 bytes of 4096 elements, there and back.
        const double norm =
            zero == 1 ? 2 * 8.0 * static_cast<double>(moved.elements) / 4096 + 512 : 0;
        EXPECT_GE(static_cast<double>(moved.bytes), planned) << dp << " " << zero;
        EXPECT_LE(static_cast<double>(moved.bytes), planned + norm) << dp << " " << zero;
      }
    }
  }
}

}  // namespace
}  // namespace moat::trainer
