// One model over several tensor ranks, with and without sequence parallelism: the losses and
// gradients of one rank, and equal copies.
#include <gtest/gtest.h>

#include <functional>
#include <mutex>
#include <span>

#include "comm/threads.h"
#include "model/architecture/tensor_traffic.h"
#include "model/generator.h"
#include "model/transformer.h"
#include "tests/model/tiny_model.h"
#include "tests/support/forwarding_communicator.h"
#include "tests/support/values.h"

namespace moat::model {
namespace {

const std::vector<uint64_t> kSamples = {10, 11, 12};
constexpr double kF32Tolerance = 1e-5, kBf16Tolerance = 2e-2;

// Sizes that 4 ranks can share, but for the vocabulary of 37; kv heads are 2 or 4.
configs::ModelConfig Even(configs::ModelConfig config) {
  config.ffn = 28;
  config.seq_len = 12;
  config.dropout = 0.1;
  return config;
}

std::vector<float> Floats(tensor::ConstView view) {
  return {view.as<float>(), view.as<float>() + view.count};
}

// A group that leaves out the sums of so many elements, as a program would that forgot them.
class Forgetful : public testing::ForwardingCommunicator {
 public:
  using Forgets = std::function<bool(const std::string& group, int64_t count)>;
  Forgetful(comm::Communicator& inner, Forgets forgets)
      : ForwardingCommunicator(inner), forgets_(std::move(forgets)) {}

  // Of the groups made from this one.
  uint64_t received_by_groups() const {
    uint64_t bytes = 0;
    for (const auto& group : groups_) bytes += group->traffic().received_bytes;
    return bytes;
  }

 protected:
  void DoAllReduce(tensor::View buffer, comm::ReduceOp op, comm::Order order,
                   tensor::Stream& stream) override {
    if (forgets_(name(), buffer.count)) return;
    ForwardingCommunicator::DoAllReduce(buffer, op, order, stream);
  }
  std::unique_ptr<comm::Communicator> DoGroup(const std::string& name,
                                              const std::vector<int>& ranks) override {
    groups_.push_back(inner().Group(name, ranks));
    return std::make_unique<Forgetful>(*groups_.back(), forgets_);
  }

 private:
  Forgets forgets_;
  std::vector<std::unique_ptr<comm::Communicator>> groups_;
};

struct Split {
  int tp = 1;
  bool sequence_parallel = false;
  core::DType dtype = core::DType::kF32;
  // Mistakes to plant.
  bool wrong_heads = false;
  Forgetful::Forgets forgets = [](const std::string&, int64_t) { return false; };
};

struct Whole {
  double loss = 0;
  bool equal_copies = true;  // on the ranks that hold the same, bit for bit
  std::vector<std::vector<float>> weights, gradients;  // by parameter, as global tensors
};

// This rank's part of `from` joins the global tensor; `copy` if another rank's did before.
void Join(const parallel::SplitSpec& split, const parallel::Slice& mine, tensor::View from,
          bool copy, std::vector<float>* to, bool* equal) {
  to->resize(static_cast<size_t>(split.global.elements()));
  const parallel::Slice whole = parallel::Slice::Whole(split.global);
  if (copy) {
    std::vector<float> theirs(static_cast<size_t>(mine.elements()));
    parallel::CopySlice(mine, whole, to->data(), mine, theirs.data(), sizeof(float));
    *equal = *equal && testing::SameBits(theirs, Floats(from));
  }
  parallel::CopySlice(mine, mine, from.data, whole, to->data(), sizeof(float));
}

// Weights large enough that every part of the model matters.
void Fill(Transformer& model, const Split& split, int rank) {
  model.InitializeWeights(7);
  tensor::Stream cpu;
  if (split.wrong_heads) {
    for (const LayerIndex& at : model.index().layers) {
      const Parameter& queries = model.parameters()[static_cast<size_t>(at.wq)];
      InitialValues(queries, LocalSlice(queries.split, split.tp - 1 - rank, split.tp), 7,
                    model.weight(at.wq), cpu);
    }
  }
  for (float& w :
       std::span(model.weights().as<float>(), static_cast<size_t>(model.weights().count))) {
    w *= 3;
  }
  model.RoundWeights();
}

// Trains nothing: two micro-batches over the ranks, gathered into global tensors.
Whole Pass(const configs::ModelConfig& config, const Split& split) {
  Whole whole;
  std::mutex mutex;
  std::vector<std::vector<bool>> seen(ParameterTable(config).size());
  for (auto& parts : seen) parts.resize(static_cast<size_t>(split.tp));
  comm::ThreadGroup::Run(split.tp, [&](comm::Communicator& threads) {
    Forgetful group(threads, split.forgets);
    tensor::Stream stream;
    Transformer model(config,
                      {.max_rows = 3,
                       .dtype = split.dtype,
                       .tensor = &group,
                       .sequence_parallel = split.sequence_parallel},
                      stream);
    Fill(model, split, group.rank());
    const auto first = testing::TinyBatch(config, 3), second = testing::TinyBatch(config, 2, 4);
    LossSums sums = model.ForwardBackward(testing::View(first, kSamples), 5, 3, false);
    sums.weighted_loss +=
        model.ForwardBackward(testing::View(second, kSamples), 5, 3, true).weighted_loss;
    const std::lock_guard lock(mutex);
    whole.equal_copies =
        whole.equal_copies && (whole.weights.empty() || whole.loss == sums.weighted_loss);
    whole.loss = sums.weighted_loss;
    whole.weights.resize(model.parameters().size());
    whole.gradients.resize(model.parameters().size());
    for (size_t p = 0; p < model.parameters().size(); ++p) {
      const parallel::SplitSpec& spec = model.parameters()[p].split;
      const parallel::Slice mine = parallel::LocalSlice(spec, group.rank(), split.tp);
      const auto part = static_cast<size_t>(group.rank() / parallel::Copies(spec, split.tp));
      const bool copy = seen[p][part];
      seen[p][part] = true;
      const int index = static_cast<int>(p);
      Join(spec, mine, model.weight(index), copy, &whole.weights[p], &whole.equal_copies);
      Join(spec, mine, model.gradient(index), copy, &whole.gradients[p], &whole.equal_copies);
    }
  });
  return whole;
}

// The first way in which `other` is not the same pass as `one`; "" where it is.
std::string Difference(const configs::ModelConfig& config, const Whole& one, const Whole& other,
                       double tolerance) {
  if (!other.equal_copies) return "copies differ";
  if (std::abs(other.loss / one.loss - 1) > tolerance) return "loss";
  const auto table = ParameterTable(config);
  for (size_t p = 0; p < table.size(); ++p) {
    if (!testing::SameBits(one.weights[p], other.weights[p])) return "weight " + table[p].name;
    if (table[p].name.ends_with(".bk")) continue;  // may be zero but for rounding
    const double error = testing::RelativeError(other.gradients[p], one.gradients[p]);
    if (!(error <= tolerance)) {
      return "gradient of " + table[p].name + ": " + std::to_string(error);
    }
  }
  return "";
}

class TensorParallelTest : public ::testing::TestWithParam<configs::ModelConfig> {};

TEST_P(TensorParallelTest, AnyNumberOfRanksHasTheLossesAndGradientsOfOne) {
  const configs::ModelConfig config = Even(GetParam());
  for (const auto& [dtype, tolerance] : {std::pair{core::DType::kF32, kF32Tolerance},
                                         std::pair{core::DType::kBF16, kBf16Tolerance}}) {
    const Whole one = Pass(config, {.dtype = dtype});
    for (const int tp : {1, 2, 4}) {
      for (const bool sequence_parallel : {false, true}) {
        const Split split = {tp, sequence_parallel, dtype};
        EXPECT_EQ(Difference(config, one, Pass(config, split), tolerance), "")
            << core::Name(dtype) << ", tp=" << tp << ", sequence_parallel=" << sequence_parallel;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TensorParallelTest,
                         ::testing::ValuesIn(testing::TinyFamilies()));

TEST(TensorParallel, AloneTheFlagOfSequenceParallelismChangesNoBit) {
  const configs::ModelConfig config = Even(testing::TinyConfig());
  EXPECT_EQ(Difference(config, Pass(config, {}), Pass(config, {1, true}), 0), "");
}

TEST(TensorParallel, QueriesOfOtherHeadsAreNoticed) {
  const configs::ModelConfig config = Even(testing::TinyConfig());
  Split split = {2, false};
  split.wrong_heads = true;
  EXPECT_NE(Difference(config, Pass(config, {}), Pass(config, split), kF32Tolerance), "");
}

TEST(TensorParallel, GradientsOfSharedKvHeadsThatAreNotSummedAreNoticed) {
  const configs::ModelConfig config = Even(testing::TinyConfig());
  Split split = {4, false};
  split.forgets = [](const std::string& group, int64_t) { return group == "kv heads"; };
  EXPECT_EQ(Difference(config, Pass(config, {}), Pass(config, split), kF32Tolerance),
            "copies differ");
}

TEST(TensorParallel, NormGradientsThatAreNotSummedAreNoticed) {
  for (const configs::ModelConfig& family : {testing::TinyConfig(), testing::TinyGpt2()}) {
    const configs::ModelConfig config = Even(family);
    const int64_t norm = (config.norm == configs::Norm::kLayer ? 2 : 1) * config.width;
    Split split = {2, true};
    split.forgets = [norm](const std::string&, int64_t count) { return count == norm; };
    EXPECT_EQ(Difference(config, Pass(config, {}), Pass(config, split), kF32Tolerance),
              "copies differ");
  }
}

// Sizes whose blocks need no rounding.
TEST(TensorParallel, AMicroBatchMovesTheBytesOfTheFormula) {
  for (configs::ModelConfig config : {testing::TinyConfig(), testing::TinyGpt2()}) {
    config.width = 64;
    config.ffn = 64;
    config.seq_len = 16;
    for (const core::DType dtype : {core::DType::kF32, core::DType::kBF16}) {
      for (const int tp : {2, 4}) {
        for (const bool sequence_parallel : {false, true}) {
          const TensorTraffic expected = TrafficOfMicroBatch(
              config,
              {.rows = 2, .dtype = dtype, .tp = tp, .sequence_parallel = sequence_parallel});
          comm::ThreadGroup::Run(tp, [&](comm::Communicator& threads) {
            Forgetful group(threads, Split{}.forgets);
            tensor::Stream stream;
            Transformer model(config,
                              {.max_rows = 2,
                               .dtype = dtype,
                               .tensor = &group,
                               .sequence_parallel = sequence_parallel},
                              stream);
            const auto batch = testing::TinyBatch(config, 2);
            const uint64_t before = threads.traffic().received_bytes;
            const uint64_t copies = group.received_by_groups();
            model.ForwardBackward(testing::View(batch, kSamples), 5, 3, false);
            EXPECT_EQ(threads.traffic().received_bytes - before,
                      static_cast<uint64_t>(expected.group.value));
            EXPECT_EQ(group.received_by_groups() - copies,
                      static_cast<uint64_t>(expected.copies.value));
          });
        }
      }
    }
  }
}

TEST(TensorParallel, SizesThatDoNotDivideAreRefusedWithTheEquation) {
  comm::ThreadGroup::Run(2, [&](comm::Communicator& group) {
    tensor::Stream stream;
    try {
      Transformer model(testing::TinyConfig(), {.tensor = &group}, stream);  // ffn = 29
      FAIL() << "29 / 2 was accepted";
    } catch (const core::ConfigError& error) {
      EXPECT_NE(std::string(error.what()).find("29 / 2"), std::string::npos) << error.what();
    }
  });
}

TEST(TensorParallel, RanksGenerateFromTheLogitsOfTheWholeVocabulary) {
  const configs::ModelConfig config = Even(testing::TinyConfig());
  std::vector<float> one;
  for (const int tp : {1, 2, 4}) {
    comm::ThreadGroup::Run(tp, [&](comm::Communicator& group) {
      tensor::Stream stream;
      Transformer model(config, {.with_gradients = false, .tensor = &group}, stream);
      Fill(model, {tp}, group.rank());
      Generator generator(model, stream);
      generator.Feed({3, 36, 20});
      const std::vector<float> logits = generator.Feed({7, 0});
      if (tp == 1) {
        one = logits;
      } else {
        EXPECT_LT(testing::RelativeError(logits, one), kF32Tolerance);
      }
    });
  }
}

}  // namespace
}  // namespace moat::model
