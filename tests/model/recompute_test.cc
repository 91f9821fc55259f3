// Activations that are computed again: less memory, the same bits.
#include <gtest/gtest.h>

#include <mutex>

#include "comm/threads.h"
#include "model/transformer.h"
#include "tests/model/tiny_model.h"
#include "tests/support/values.h"

namespace moat::model {
namespace {

using configs::Recompute;

struct How {
  Recompute recompute = Recompute::kNone;
  core::DType dtype = core::DType::kF32;
  int tp = 1;
  bool sequence_parallel = false;
};

struct Pass {
  LossSums sums;
  std::vector<float> gradients;  // of all tensor ranks, one after the other
};

// Two micro-batches, the second with fewer rows, accumulated.
Pass Backpropagate(const configs::ModelConfig& config, const How& how) {
  Pass pass;
  std::vector<std::vector<float>> gradients(static_cast<size_t>(how.tp));
  std::mutex mutex;
  comm::ThreadGroup::Run(how.tp, [&](comm::Communicator& group) {
    tensor::Stream stream(1);
    TransformerOptions options;
    options.max_rows = 3;
    options.dtype = how.dtype;
    options.tensor = how.tp > 1 ? &group : nullptr;
    options.sequence_parallel = how.sequence_parallel;
    options.recompute = how.recompute;
    Transformer model(config, options, stream);
    model.InitializeWeights(5);
    const testing::ReferenceBatch batch = testing::TinyBatch(config, 3);
    const std::vector<uint64_t> samples = {4, 5, 6};
    MicroBatch view = testing::View(batch, samples);
    LossSums sums = model.ForwardBackward(view, 9, 3, false);
    view.rows = 2;
    sums.weighted_loss += model.ForwardBackward(view, 9, 3, true).weighted_loss;
    const float* g = model.gradients().as<float>();
    const std::lock_guard lock(mutex);
    pass.sums = sums;
    gradients[static_cast<size_t>(group.rank())].assign(g, g + model.gradients().count);
  });
  for (const auto& mine : gradients) {
    pass.gradients.insert(pass.gradients.end(), mine.begin(), mine.end());
  }
  return pass;
}

std::vector<configs::ModelConfig> Families() {
  std::vector<configs::ModelConfig> families = {testing::TinyConfig(), testing::TinyGpt2()};
  for (configs::ModelConfig& config : families) {
    config.layers = 3;
    config.ffn = 28;
    config.seq_len = 12;
    config.dropout = 0.1;
  }
  return families;
}

TEST(Recompute, GradientsHaveTheSameBits) {
  for (const configs::ModelConfig& config : Families()) {
    for (const core::DType dtype : {core::DType::kF32, core::DType::kBF16}) {
      for (const auto& [tp, sequence_parallel] :
           {std::pair(1, false), std::pair(2, false), std::pair(2, true)}) {
        const Pass kept = Backpropagate(config, {Recompute::kNone, dtype, tp, sequence_parallel});
        for (const Recompute recompute : {Recompute::kInner, Recompute::kBlock}) {
          const Pass again = Backpropagate(config, {recompute, dtype, tp, sequence_parallel});
          EXPECT_EQ(again.sums.weighted_loss, kept.sums.weighted_loss);
          EXPECT_TRUE(testing::SameBits(again.gradients, kept.gradients))
              << configs::Name(recompute) << " tp " << tp;
        }
      }
    }
  }
}

// A layer keeps 2 (kInner) or 1 (kBlock) of its buffers of [tokens, width] besides the norms'.
TEST(Recompute, MemoryOfFurtherLayersShrinksToWhatIsKept) {
  for (configs::ModelConfig config : Families()) {
    const auto per_layer = [&](Recompute recompute) {
      PlanOptions options{.rows = 4};
      options.recompute = recompute;
      config.layers = 2;
      const int64_t two = PlanActivations(config, options).total.value;
      config.layers = 12;
      return static_cast<double>(PlanActivations(config, options).total.value - two) / 10;
    };
    const double stream = static_cast<double>(4 * config.seq_len * config.width * 4);
    const double statistics = 4 * static_cast<double>(4 * config.seq_len * 4) + 64 * 10;
    EXPECT_GE(per_layer(Recompute::kNone), 8 * stream);
    EXPECT_NEAR(per_layer(Recompute::kInner), 4 * stream, statistics);
    EXPECT_NEAR(per_layer(Recompute::kBlock), stream, 64);
  }
}

}  // namespace
}  // namespace moat::model
