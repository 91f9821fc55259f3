// Runs over several data sets: the same samples and bits on every grid and through resumes, records
// that say what was mixed, and refusals of what does not mix.
#include <functional>

#include "comm/self.h"
#include "data/forget.h"
#include "tests/support/errors.h"
#include "tests/trainer/fixture.h"
#include "trainer/run_data.h"
#include "trainer/run_start.h"

namespace moat::trainer {
namespace {

namespace fs = std::filesystem;
using testing::Contains;
using testing::ErrorOf;

class MixtureTest : public TrainerTest {
 protected:
  static void SetUpTestSuite() {
    TrainerTest::SetUpTestSuite();
    std::ofstream tea(*directory_ / "tea.jsonl");
    for (int i = 0; i < 60; ++i) {
      tea << R"({"id":"t)" << i << R"(","user":"v)" << i % 30
          << R"(","messages":[{"role":"user","content":"which tea goes with cake )" << i
          << R"("},{"role":"assistant","content":"a green tea number )" << i << R"("}]})"
          << "\n";
    }
    tea.close();
    Import("tea", "tea", (*directory_ / "data/tokenizer.model").string());
    Import("tea", "foreign", "");
  }
  static void Import(const std::string& chats, const std::string& name,
                     const std::string& tokenizer) {
    configs::ImportConfig import;
    import.in = {(*directory_ / (chats + ".jsonl")).string()};
    import.out = (*directory_ / name).string();
    import.vocab_size = 300;
    import.tokenizer = tokenizer;
    data::Import(import);
  }
  static std::string PathOf(const std::string& name) { return (*directory_ / name).string(); }

  TrainerOptions Mixed(const std::string& run, int64_t steps,
                       const std::vector<double>& weights = {0.6, 0.4}) const {
    TrainerOptions options = Options(runs_ / run);
    options.config.data = {PathOf("data"), PathOf("tea")};
    options.config.data_weights = weights;
    options.config.steps = steps;
    options.config.model.layers = 1;
    options.config.checkpoint_every = 3;
    return options;
  }
  Identity SavedBy(const std::string& run) const {
    const auto last = ChooseTrained(runs_ / run / "ckpt", run, "newest", *comm::MakeSelf());
    return ReadIdentity(checkpoint::ReadManifest(last));
  }

  testing::TemporaryDirectory runs_;
};

TEST_F(MixtureTest, EveryGridIsFedTheSameMixture) {
  const End one = Train(Mixed("one", 6), 1, 1);
  ASSERT_EQ(one.hashes.size(), 6u);
  for (const int dp : {2, 4, 8}) {
    const End other = Train(Mixed("dp" + std::to_string(dp), 6), dp, 1);
    EXPECT_EQ(other.hashes, one.hashes) << "dp " << dp;
    EXPECT_TRUE(testing::SameBits(other.state, one.state)) << "dp " << dp;
  }
  EXPECT_NE(Train(Mixed("weights", 6, {0.5, 0.5}), 1, 1).hashes, one.hashes);
  EXPECT_NE(Train(Mixed("sizes", 6, {}), 1, 1).hashes, one.hashes);
}

TEST_F(MixtureTest, ElasticResumesEndWithTheSameBits) {
  const End one = Train(Mixed("one", 9), 1, 1);
  const auto stopped_after = [&](int steps) {
    TrainerOptions options = Mixed("moved", 9);
    options.stop_code = [left = steps]() mutable { return left-- > 1 ? 0 : 75; };
    return options;
  };
  ASSERT_EQ(Train(stopped_after(4), 1, 1).code, core::ExitCode::kPreempted);
  ASSERT_EQ(Train(stopped_after(3), 2, 1).code, core::ExitCode::kPreempted);
  const End moved = Train(Mixed("moved", 9), 8, 1);
  EXPECT_EQ(moved.hashes, one.hashes);
  EXPECT_TRUE(testing::SameBits(moved.state, one.state));
  EXPECT_EQ(moved.validation, one.validation);
}

TEST_F(MixtureTest, CheckpointsRecordEveryDataSetAndTheShares) {
  Train(Mixed("run", 3, {6, 4}), 1, 1);
  const Identity identity = SavedBy("run");
  const auto first = data::Dataset::Open(PathOf("data")),
             second = data::Dataset::Open(PathOf("tea"));
  EXPECT_EQ(identity.at("data version"), "1,1");
  EXPECT_EQ(identity.at("data content"), first.content_digest() + "," + second.content_digest());
  EXPECT_EQ(identity.at("data weights"), "0.6,0.4");
  Train(Mixed("sizes", 3, {}), 1, 1);
  EXPECT_EQ(SavedBy("sizes").at("data weights"), "by size");
  TrainerOptions alone = Mixed("alone", 3);
  alone.config.data.pop_back();
  alone.config.data_weights = {2};
  Train(alone, 1, 1);
  EXPECT_FALSE(SavedBy("alone").contains("data weights"));
  EXPECT_EQ(SavedBy("alone").at("data content"), first.content_digest());
}

TEST_F(MixtureTest, AResumeWithOtherDataOrWeightsIsRefusedWithBothValues) {
  Train(Mixed("run", 3), 1, 1);
  std::string error = ErrorOf(core::ExitCode::kConfig, [&] {
    Train(Mixed("run", 6, {0.5, 0.5}), 2, 1);
  });
  EXPECT_TRUE(Contains(error, "data weights was 0.6,0.4, now 0.5,0.5")) << error;
  TrainerOptions swapped = Mixed("run", 6);
  std::swap(swapped.config.data[0], swapped.config.data[1]);
  error = ErrorOf(core::ExitCode::kConfig, [&] { Train(swapped, 2, 1); });
  EXPECT_TRUE(Contains(error, "data content was " + SavedBy("run").at("data content"))) << error;
  TrainerOptions fewer = Mixed("run", 6, {});
  fewer.config.data.pop_back();
  error = ErrorOf(core::ExitCode::kConfig, [&] { Train(fewer, 2, 1); });
  EXPECT_TRUE(Contains(error, "was trained on 2 data sets")) << error;
  EXPECT_EQ(Train(Mixed("run", 6, {6, 4}), 2, 1).losses.size(), 6u) << "the same shares";

  TrainerOptions another = Mixed("another", 3, {0.5, 0.5});
  another.config.init_from = (runs_ / "run/ckpt/step-00000006").string();
  EXPECT_EQ(Train(another, 1, 1).code, core::ExitCode::kOk) << "a new run may mix as it likes";
}

TEST_F(MixtureTest, DataSetsOfOtherTokensAndCopiesAreRefusedByName) {
  TrainerOptions options = Mixed("foreign", 3);
  options.config.data[1] = PathOf("foreign");
  std::string error = ErrorOf(core::ExitCode::kData, [&] { Train(options, 2, 1); });
  EXPECT_TRUE(Contains(error, PathOf("data")) && Contains(error, PathOf("foreign"))) << error;
  EXPECT_TRUE(Contains(error, "tokenizer of the one is")) << error;
  fs::copy(PathOf("data"), runs_ / "copy", fs::copy_options::recursive);
  options.config.data[1] = (runs_ / "copy").string();
  error = ErrorOf(core::ExitCode::kData, [&] { Train(options, 2, 1); });
  EXPECT_TRUE(Contains(error, "the same data set twice")) << error;
}

TEST_F(MixtureTest, GoesOnAfterOneOfItsDataSetsForgotAUser) {
  fs::copy(PathOf("tea"), runs_ / "tea", fs::copy_options::recursive);
  TrainerOptions options = Mixed("run", 3);
  options.config.data[1] = (runs_ / "tea").string();
  Train(options, 2, 1);
  ASSERT_GT(data::Forget(runs_ / "tea", "v3", "").interactions, 0);
  options.config.steps = 6;
  EXPECT_EQ(Train(options, 1, 1).code, core::ExitCode::kOk);
  EXPECT_EQ(SavedBy("run").at("data version"), "1,1");
  options.config.steps = 9;
  options.config.data_version = {0, 2};
  const std::string error = ErrorOf(core::ExitCode::kConfig, [&] { Train(options, 1, 1); });
  EXPECT_TRUE(Contains(error, "--data_version=2 of " + options.config.data[1])) << error;
  EXPECT_TRUE(Contains(error, "trained on version 1")) << error;
}

TEST_F(MixtureTest, EachValidationLossIsReportedAndTheirSumsGiveTheWhole) {
  TrainerOptions options = Mixed("run", 4);
  options.config.eval_batches = 0;
  Train(options, 2, 1);
  const auto lines = rundir::ReadMetrics(options.layout.metrics()).evaluations;
  ASSERT_EQ(lines.size(), 1u);
  const rundir::EvaluationLine& line = lines.begin()->second;
  ASSERT_EQ(line.by_data.size(), 2u);
  const double first = line.by_data.at("data").loss, second = line.by_data.at("tea").loss;
  EXPECT_NE(first, second);
  EXPECT_GT(line.val_loss, std::min(first, second));
  EXPECT_LT(line.val_loss, std::max(first, second));

  const Evaluation few{2.0, 1.0, 1, 3, 10}, many{4.0, 2.0, 499, 500, 30};
  const Evaluation both = Together({few, many});
  EXPECT_DOUBLE_EQ(both.loss, (2.0 * 1 + 4.0 * 499) / 500);
  EXPECT_DOUBLE_EQ(both.bits_per_byte, (1.0 * 10 + 2.0 * 30) / 40);
  EXPECT_EQ(both.tokens, 503);
}

TEST_F(MixtureTest, NamesAreDirectoriesUntilTwoAreAlike) {
  const auto first = data::Dataset::Open(PathOf("data") + "/"),
             second = data::Dataset::Open(PathOf("tea"));
  EXPECT_EQ(NamesOf({first, second}), (std::vector<std::string>{"data", "tea"}));
  fs::copy(PathOf("tea"), runs_ / "data", fs::copy_options::recursive);
  const auto third = data::Dataset::Open(runs_ / "data");
  EXPECT_EQ(NamesOf({first, third}),
            (std::vector<std::string>{PathOf("data") + "/", (runs_ / "data").string()}));
}

}  // namespace
}  // namespace moat::trainer
