// All ranks choose alike: what rank 0 measured, or what was saved where it can be used.
#include "model/product_agreement.h"

#include <gtest/gtest.h>

#include <mutex>

#include "comm/self.h"
#include "comm/threads.h"
#include "core/error.h"
#include "tests/model/tiny_model.h"

namespace moat::model {
namespace {

using tensor::ProductChoices;

// What a device would choose: the library's first proposal is "first", the fastest depends on the
// rank, as measurements do.
class FakeTuner : public tensor::ProductTuner {
 public:
  FakeTuner(std::string library, int rank) : library_(std::move(library)), rank_(rank) {}

  std::string library() override { return library_; }
  void Measure(bool on) override { measuring_ = on; }
  ProductChoices choices() override { return {library_, computed_}; }
  void Use(const ProductChoices& choices) override {
    given_ = choices;
    computed_.clear();
  }
  void Compute(const std::string& product) {
    const auto given = given_.algorithms.find(product);
    std::string algorithm = given == given_.algorithms.end() ? "first" : given->second;
    if (measuring_) algorithm = "fastest_on_" + std::to_string(rank_);
    computed_.emplace(product, algorithm);
  }

 private:
  std::string library_;
  int rank_;
  bool measuring_ = false;
  ProductChoices given_;
  std::map<std::string, std::string> computed_;
};

struct Rank {
  ProductAgreement agreement;
  ProductChoices used;  // for the products of the passes, and one that they have not
  int passes = 0;
};

std::vector<Rank> Agree(const std::string& saved, bool tune, const std::string& library = "lt 1") {
  std::vector<Rank> ranks(3);
  comm::ThreadGroup::Run(3, [&](comm::Communicator& world) {
    Rank& rank = ranks[static_cast<size_t>(world.rank())];
    FakeTuner tuner(library, world.rank());
    tuner.Compute("a");  // before: without a choice
    rank.agreement = AgreeOnProducts(&tuner, world, world.rank() == 0 ? saved : "", tune, [&] {
      ++rank.passes;
      for (const char* product : {"a", "b"}) tuner.Compute(product);
    });
    for (const char* product : {"a", "b", "smaller"}) tuner.Compute(product);
    rank.used = tuner.choices();
  });
  for (const Rank& rank : ranks) {
    EXPECT_TRUE(rank.agreement.applies);
    EXPECT_EQ(rank.used, ranks[0].used);
    EXPECT_EQ(rank.agreement.text, ranks[0].agreement.text);
    EXPECT_EQ(rank.agreement.digest, ranks[0].agreement.digest);
    EXPECT_EQ(rank.agreement.changed, ranks[0].agreement.changed);
    EXPECT_EQ(rank.agreement.note, ranks[0].agreement.note);
    EXPECT_EQ(rank.passes, ranks[0].passes);
  }
  return ranks;
}

const std::map<std::string, std::string> kMeasured = {{"a", "fastest_on_0"}, {"b", "fastest_on_0"}};

TEST(ProductAgreement, AllRanksUseWhatRankZeroMeasured) {
  const Rank rank = Agree("", true)[1];
  EXPECT_EQ(rank.passes, 1);
  EXPECT_TRUE(rank.agreement.changed);
  const auto agreed = tensor::ParseProductChoices(rank.agreement.text, "");
  EXPECT_EQ(agreed, (ProductChoices{"lt 1", kMeasured}));
  EXPECT_EQ(rank.used.algorithms.at("a"), "fastest_on_0");
  EXPECT_EQ(rank.used.algorithms.at("smaller"), "first");
}

TEST(ProductAgreement, AResumeMeasuresNothing) {
  const std::string saved = Format(ProductChoices{"lt 1", {{"a", "kept"}}});
  for (const bool tune : {false, true}) {
    const Rank rank = Agree(saved, tune)[2];
    EXPECT_EQ(rank.passes, 0);
    EXPECT_FALSE(rank.agreement.changed);
    EXPECT_EQ(rank.agreement.note, "");
    EXPECT_EQ(rank.used.algorithms.at("a"), "kept");
    EXPECT_EQ(rank.used.algorithms.at("b"), "first");
  }
}

TEST(ProductAgreement, WithoutTuningTheFirstProposalsCount) {
  const Rank rank = Agree("", false)[1];
  EXPECT_EQ(rank.passes, 0);
  EXPECT_EQ(rank.used.algorithms.at("a"), "first");
}

TEST(ProductAgreement, AnotherLibraryOrADamagedFileIsMeasuredAgainAndSaidSo) {
  const std::string saved = Format(ProductChoices{"lt 1", {{"a", "kept"}}});
  const Rank other = Agree(saved, true, "lt 2")[1];
  EXPECT_TRUE(other.agreement.changed);
  EXPECT_NE(other.agreement.note.find("the bit chain ends here"), std::string::npos);
  EXPECT_EQ(other.used.algorithms.at("a"), "fastest_on_0");
  const Rank damaged = Agree(saved.substr(0, 30), true)[1];
  EXPECT_TRUE(damaged.agreement.changed);
  EXPECT_NE(damaged.agreement.note, "");
  EXPECT_EQ(damaged.used.algorithms.at("a"), "fastest_on_0");
}

TEST(ProductAgreement, RanksOfDifferentKindsAreRefusedOnEachOfThem) {
  std::mutex mutex;
  int refused = 0;
  comm::ThreadGroup::Run(2, [&](comm::Communicator& world) {
    FakeTuner tuner(world.rank() == 0 ? "one" : "another", world.rank());
    EXPECT_THROW(AgreeOnProducts(&tuner, world, "", true, [] {}), core::ConfigError);
    const std::lock_guard lock(mutex);
    ++refused;
  });
  EXPECT_EQ(refused, 2);
}

TEST(ProductAgreement, TheCpuHasNothingToChoose) {
  tensor::Stream stream;
  Transformer model(testing::TinyConfig(), {.max_rows = 2}, stream);
  const auto world = comm::MakeSelf();
  EXPECT_FALSE(AgreeOnProducts(model, stream, *world, "", true).applies);
}

}  // namespace
}  // namespace moat::model
