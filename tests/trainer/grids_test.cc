// Every grid trains the same model: dp x tp, with and without sequence parallelism, ZeRO and
// recomputed activations.
#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "tests/trainer/fixture.h"

namespace moat::trainer {
namespace {

using configs::Recompute;

struct Grid {
  int dp = 1, tp = 1;
  bool sequence_parallel = false;
  int zero = 1;
  Recompute recompute = Recompute::kNone;

  std::string Name() const {
    return std::to_string(dp) + "x" + std::to_string(tp) + (sequence_parallel ? "-cut" : "") +
           "-zero" + std::to_string(zero) + "-" + configs::Name(recompute);
  }
};

class GridsTest : public TrainerTest {
 protected:
  static TrainerOptions OptionsFor(const std::filesystem::path& runs, bool gpt2, core::DType dtype,
                                   const Grid& grid) {
    TrainerOptions options = Options(runs / grid.Name());
    configs::TrainConfig& c = options.config;
    c.steps = 30;
    c.checkpoint_every = 0;
    c.check_replicas_every = 10;
    c.dtype = dtype;
    c.tp = grid.tp;
    c.sequence_parallel = grid.sequence_parallel;
    c.zero = grid.zero;
    c.recompute = grid.recompute;
    if (gpt2) {
      c.model.norm = configs::Norm::kLayer;
      c.model.position = configs::Position::kLearned;
      c.model.mlp = configs::Mlp::kGelu;
      c.model.bias = c.model.tie_embeddings = true;
      c.model.kv_heads = c.model.heads;
    }
    return options;
  }

  // The first grid is what the others are compared with. At equal tp and sequence parallelism runs
  // end with the same bits.
  static void Compare(bool gpt2, core::DType dtype, const std::vector<Grid>& grids,
                      double tolerance) {
    const testing::TemporaryDirectory runs;
    std::vector<double> losses;
    std::map<std::pair<int, bool>, uint64_t> hashes;
    for (const Grid& grid : grids) {
      const std::string name = (gpt2 ? "GPT-2 " : "Llama ") + grid.Name();
      const End end = Train(OptionsFor(runs.path(), gpt2, dtype, grid), grid.dp, 1, grid.tp);
      ASSERT_EQ(end.losses.size(), 30u) << name;
      EXPECT_LT(end.losses.back(), 0.7 * end.losses.front()) << name;
      if (losses.empty()) losses = end.losses;
      for (size_t i = 0; i < losses.size(); ++i) {
        ASSERT_NEAR(end.losses[i] / losses[i], 1, tolerance) << name << ", step " << i + 1;
      }
      const auto [found, first] =
          hashes.insert({{grid.tp, grid.tp > 1 && grid.sequence_parallel}, end.hash});
      EXPECT_EQ(found->second, end.hash) << name;
    }
    EXPECT_GT(hashes.size(), 1u);  // other splits round otherwise: the hash says something
  }
};

TEST_F(GridsTest, LossesAreThoseOfOneRankAndBitsThoseOfTheSameSplit) {
  const std::vector<Grid> grids = {{1, 1},
                                   {2, 1, false, 0, Recompute::kInner},
                                   {4, 1, true, 1, Recompute::kBlock},
                                   {1, 2, false, 1, Recompute::kInner},
                                   {1, 2, true, 1},
                                   {2, 2, false, 0},
                                   {2, 2, true, 1, Recompute::kBlock},
                                   {4, 2, false, 1},
                                   {4, 2, true, 0, Recompute::kInner},
                                   {1, 4, false, 1, Recompute::kBlock},
                                   {1, 4, true, 1}};
  for (const bool gpt2 : {false, true}) Compare(gpt2, core::DType::kF32, grids, 1e-5);
}

TEST_F(GridsTest, InBf16LossesAreNearThoseOfOneRank) {
  const std::vector<Grid> grids = {{1, 1},
                                   {2, 1, false, 1, Recompute::kBlock},
                                   {2, 2, true, 1, Recompute::kInner},
                                   {4, 2, false, 0},
                                   {1, 4, true, 1}};
  for (const bool gpt2 : {false, true}) Compare(gpt2, core::DType::kBF16, grids, 1e-2);
}

}  // namespace
}  // namespace moat::trainer
