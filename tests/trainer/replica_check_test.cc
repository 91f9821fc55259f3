// A flipped bit in one rank's memory is found and its rank named.
#include "trainer/replica_check.h"

#include <gtest/gtest.h>

#include <mutex>

#include "comm/grid.h"
#include "comm/threads.h"

namespace moat::trainer {
namespace {

configs::TrainConfig Config() {
  configs::TrainConfig config;
  config.model.vocab_size = 17;
  config.model.layers = 1;
  config.model.width = 16;
  config.model.heads = 4;
  config.model.kv_heads = 2;
  config.model.ffn = 24;
  config.model.seq_len = 8;
  return config;
}

enum class Where { kNowhere, kSplitWeight, kReplicatedWeight, kSharedKeys, kMoment };

// What the check of dp x tp ranks says after a bit was flipped on `rank`; "" when it says nothing.
std::string Check(int dp, int tp, int rank, Where where, int zero = 0) {
  configs::TrainConfig config = Config();
  config.zero = zero;
  std::string said;
  std::mutex mutex;
  comm::ThreadGroup::Run(dp * tp, [&](comm::Communicator& world) {
    const auto groups = comm::MakeGrid(world, parallel::ProcessGrid(world.size(), dp, tp));
    tensor::Stream stream;
    model::Transformer model(config.model, ModelOptions(config, dp, groups.tensor.get()), stream);
    Optimizer optimizer(config, model, *groups.data, stream);
    optimizer.InitializeWeights(3);
    int parameter = model.index().layers[0].wq;
    if (where == Where::kReplicatedWeight) parameter = model.index().final_norm;
    if (where == Where::kSharedKeys) parameter = model.index().layers[0].wq + 1;
    tensor::View at = where == Where::kMoment
                          ? optimizer.held()[static_cast<size_t>(parameter)].moment2
                          : model.weight(parameter);
    if (world.rank() == rank && where != Where::kNowhere) {
      static_cast<uint32_t*>(at.data)[5] ^= 1;  // the least significant bit of a number
    }
    try {
      CheckReplicas(model, optimizer, {world, *groups.data, *groups.tensor}, 7);
    } catch (const core::Error& error) {
      EXPECT_EQ(error.code(), core::ExitCode::kNode);
      const std::lock_guard lock(mutex);
      EXPECT_TRUE(said.empty() || said == error.what());
      said = error.what();
    }
  });
  return said;
}

TEST(ReplicaCheck, IsSilentWhereAllAreAlike) {
  for (const auto& [dp, tp] :
       {std::pair{1, 1}, std::pair{4, 1}, std::pair{1, 2}, std::pair{2, 2}}) {
    EXPECT_EQ(Check(dp, tp, 0, Where::kNowhere), "") << dp << " x " << tp;
  }
}

TEST(ReplicaCheck, NamesTheRankWhoseMemoryChanged) {
  for (const Where where : {Where::kSplitWeight, Where::kReplicatedWeight, Where::kMoment}) {
    EXPECT_NE(Check(4, 1, 2, where).find("rank 2 of 4 "), std::string::npos);
    EXPECT_NE(Check(3, 2, 3, where).find("rank 3 of 6 "), std::string::npos);
  }
}

// Each rank has moments of its own then, and all have the weights.
TEST(ReplicaCheck, UnderZeroWeightsAreCompared) {
  EXPECT_EQ(Check(4, 1, 0, Where::kNowhere, 1), "");
  EXPECT_NE(Check(4, 1, 2, Where::kSplitWeight, 1).find("rank 2 of 4 "), std::string::npos);
  EXPECT_NE(Check(3, 2, 3, Where::kReplicatedWeight, 1).find("rank 3 of 6 "), std::string::npos);
}

TEST(ReplicaCheck, NamesBothOfTwoThatDiffer) {
  EXPECT_NE(Check(2, 1, 1, Where::kSplitWeight).find("rank 0, 1 of 2 "), std::string::npos);
  EXPECT_NE(Check(1, 2, 1, Where::kReplicatedWeight).find("rank 0, 1 of 2 "), std::string::npos);
}

// Over four tensor ranks two hold each of the two key and value heads.
TEST(ReplicaCheck, KeyHeadsThatRanksShareAreCompared) {
  EXPECT_EQ(Check(1, 4, 0, Where::kNowhere), "");
  EXPECT_NE(Check(1, 4, 2, Where::kSharedKeys).find("rank 2, 3 of 4 "), std::string::npos);
  EXPECT_EQ(Check(1, 2, 1, Where::kSharedKeys), "") << "each has its own";
  EXPECT_NE(Check(3, 4, 6, Where::kSharedKeys).find("rank 6 of 12 "), std::string::npos);
}

}  // namespace
}  // namespace moat::trainer
