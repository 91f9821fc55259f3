// Where runs start: the version of the data they began with, whatever became of it; other runs'
// weights.
#include "trainer/run_start.h"

#include <functional>

#include "comm/self.h"
#include "core/durable_file.h"
#include "data/forget.h"
#include "data/import.h"
#include "data/index.h"
#include "tests/support/errors.h"
#include "tests/trainer/fixture.h"

namespace moat::trainer {
namespace {

namespace fs = std::filesystem;
using testing::Contains;

std::string ConfigErrorOf(const std::function<void()>& action) {
  return testing::ErrorOf(core::ExitCode::kConfig, action);
}

class RunStartTest : public TrainerTest {
 protected:
  RunStartTest() { fs::copy(*directory_ / "data", runs_ / "data", fs::copy_options::recursive); }

  // A run over a copy of the data set that the test may change.
  TrainerOptions OptionsOf(const std::string& run) const {
    TrainerOptions options = Options(runs_ / run);
    options.config.data = {(runs_ / "data").string()};
    options.config.run_root = runs_.path().string();
    options.config.steps = 20;
    options.config.checkpoint_every = 10;
    return options;
  }

  // Adds a version with 50 more dialogs to the data set.
  void Append() const {
    std::string text;
    for (int i = 0; i < 50; ++i) {
      const std::string n = std::to_string(i);
      text += R"({"user": "u)" + n + R"(", "prompt": "later )" + n +
              R"(", "completion": "yes"})"
              "\n";
    }
    core::WriteFileAtomically(runs_ / "later.jsonl", text);
    configs::ImportConfig config;
    config.in = {(runs_ / "later.jsonl").string()};
    config.out = (runs_ / "data").string();
    config.append = true;
    ASSERT_EQ(data::Import(config).added, 50);
  }

  // What the newest checkpoint of a run says.
  Identity IdentityOf(const std::string& run) const {
    const auto last = ChooseTrained(runs_ / run / "ckpt", run, "newest", *comm::MakeSelf());
    return ReadIdentity(checkpoint::ReadManifest(last));
  }

  testing::TemporaryDirectory runs_;
};

// Asks a run to stop after some steps, as a scheduler would.
TrainerOptions StoppedAfter(TrainerOptions options, int steps) {
  options.stop_code = [left = steps]() mutable { return left-- > 1 ? 0 : 75; };
  return options;
}

TEST_F(RunStartTest, GoesOnAfterItsDataForgotAUserAndRecordsIt) {
  ASSERT_EQ(Train(StoppedAfter(OptionsOf("run"), 8), 1, 1).code, core::ExitCode::kPreempted);
  const data::Index before = data::ReadIndex(runs_ / "data");
  ASSERT_EQ(data::Forget(runs_ / "data", "u3", "").interactions, 40);
  const End end = Train(OptionsOf("run"), 2, 1);
  EXPECT_EQ(end.code, core::ExitCode::kOk);
  EXPECT_EQ(end.losses.size(), 20u);
  const auto last = ChooseTrained(runs_ / "run/ckpt", "run", "newest", *comm::MakeSelf());
  const Identity identity = ReadIdentity(checkpoint::ReadManifest(last));
  EXPECT_EQ(identity.at("data version"), "1");
  EXPECT_NE(identity.at("data content"), before.content_digest);
  EXPECT_EQ(identity.at("data content"), data::Dataset::Open(runs_ / "data", 1).content_digest());
}

// Scales have no history, and are of a micro-batch.
TEST_F(RunStartTest, ARunInFp8GoesOnWithTheSameBitsForAnyDpAndThreads) {
  const auto options = [&](const std::string& run, configs::MatmulDType products) {
    TrainerOptions of = OptionsOf(run);
    of.config.dtype = core::DType::kBF16;
    of.config.matmul_dtype = products;
    return of;
  };
  const End whole = Train(options("whole", configs::MatmulDType::kFp8), 1, 1);
  const TrainerOptions parts = options("parts", configs::MatmulDType::kFp8);
  ASSERT_EQ(Train(StoppedAfter(parts, 8), 4, 1).code, core::ExitCode::kPreempted);
  const End end = Train(parts, 2, 2);
  EXPECT_EQ(end.losses, whole.losses);
  EXPECT_EQ(end.hash, whole.hash);
  EXPECT_LT(whole.losses.back(), 0.8 * whole.losses.front());
  const End bf16 = Train(options("bf16", configs::MatmulDType::kSame), 1, 1);
  EXPECT_NE(whole.hash, bf16.hash);
  EXPECT_NEAR(whole.losses.back() / bf16.losses.back(), 1, 0.03);
}

// A library may take more than any plan knows.
TEST_F(RunStartTest, MemoryThatRunsOutUnderWaySaysWhatTookItAndWhatWouldHelp) {
  TrainerOptions options = OptionsOf("run");
  options.stop_code = [asked = 0]() mutable -> int {
    if (++asked == 5) throw core::OutOfMemoryError("out of memory: a buffer of 7 B");
    return 0;
  };
  const std::string said =
      testing::ErrorOf(core::ExitCode::kOutOfMemory, [&] { Train(options, 1, 1); });
  EXPECT_NE(std::string::npos, said.find("a buffer of 7 B; this rank's tensors take ")) << said;
  EXPECT_NE(std::string::npos, said.find("optimizer ")) << said;
  EXPECT_NE(std::string::npos, said.find("--recompute=block would make it ")) << said;
}

// Its checkpoints do not say what products were in, and could be in nothing else.
TEST_F(RunStartTest, AnOlderRunGoesOnWithProductsAsTheyWereAndInNoOtherWay) {
  ASSERT_EQ(Train(StoppedAfter(OptionsOf("run"), 8), 1, 1).code, core::ExitCode::kPreempted);
  TrainerOptions options = OptionsOf("run");
  options.identity["matmul_dtype"] = "fp8";
  EXPECT_THROW(Train(options, 1, 1), core::ConfigError);
  options.identity["matmul_dtype"] = "same";
  EXPECT_EQ(Train(options, 1, 1).code, core::ExitCode::kOk);
}

TEST_F(RunStartTest, RefusesDataThatChangedInAnyOtherWay) {
  ASSERT_EQ(Train(StoppedAfter(OptionsOf("run"), 8), 1, 1).code, core::ExitCode::kPreempted);
  data::Index index = data::ReadIndex(runs_ / "data");
  data::Forget(runs_ / "data", "u3", "");
  index = data::ReadIndex(runs_ / "data");
  for (data::DatasetVersion& version : index.history) version.digests = {version.digests.back()};
  data::WriteIndex(runs_ / "data", index);  // as if it had always been so
  const std::string error = ConfigErrorOf([&] { Train(OptionsOf("run"), 1, 1); });
  EXPECT_TRUE(Contains(error, "data content was")) << error;
}

// As checkpoints were before data sets had versions.
TEST_F(RunStartTest, ACheckpointWithoutAVersionIsGoneOnFrom) {
  const std::vector<data::Dataset> datasets = {data::Dataset::Open(runs_ / "data")};
  const Identity now = DataIdentity(datasets, {});
  Identity saved = now;
  saved.erase("data version");
  EXPECT_EQ(ExpectedIdentity(saved, now, datasets), saved);
  saved["data content"] = "other";
  EXPECT_EQ(ExpectedIdentity(saved, now, datasets).at("data content"), now.at("data content"));
}

TEST_F(RunStartTest, ReadsTheVersionItBeganWithAndRefusesAnother) {
  data::Forget(runs_ / "data", "u3", "");
  TrainerOptions first = StoppedAfter(OptionsOf("run"), 8);
  first.config.data_version = {1};
  ASSERT_EQ(Train(first, 1, 1).code, core::ExitCode::kPreempted);
  TrainerOptions other = OptionsOf("run");
  other.config.data_version = {2};
  const std::string error = ConfigErrorOf([&] { Train(other, 1, 1); });
  EXPECT_TRUE(Contains(error, "--data_version=2")) << error;
  EXPECT_TRUE(Contains(error, "trained on version 1")) << error;
  EXPECT_EQ(Train(OptionsOf("run"), 1, 1).code, core::ExitCode::kOk);
  other = OptionsOf("none");
  other.config.data_version = {3};
  EXPECT_TRUE(Contains(ConfigErrorOf([&] { Train(other, 1, 1); }), "no version 3"));
}

TEST_F(RunStartTest, GoesOnWithTheVersionItBeganWithWhileAnotherRunTakesItsWeightsToTheNewOne) {
  const End whole = Train(OptionsOf("whole"), 1, 1);
  ASSERT_EQ(Train(StoppedAfter(OptionsOf("run"), 8), 1, 1).code, core::ExitCode::kPreempted);
  Append();
  const data::Dataset newest = data::Dataset::Open(runs_ / "data");
  ASSERT_EQ(newest.version(), 2);
  const End end = Train(OptionsOf("run"), 1, 1);
  EXPECT_EQ(end.code, core::ExitCode::kOk);
  EXPECT_EQ(end.hashes.back(), whole.hashes.back());
  EXPECT_EQ(IdentityOf("run").at("data version"), "1");
  TrainerOptions pupil = OptionsOf("pupil");
  pupil.config.init_from = "run";
  pupil.config.data_version = {2};
  EXPECT_EQ(Train(pupil, 1, 1).code, core::ExitCode::kOk);
  EXPECT_EQ(IdentityOf("pupil").at("data version"), "2");
  EXPECT_EQ(IdentityOf("pupil").at("data content"), newest.content_digest());
  EXPECT_TRUE(Contains(IdentityOf("pupil").at("initial weights"), "run/ckpt/step-"));
}

TEST_F(RunStartTest, BeginsWithAnotherRunsBestWeightsAndSaysSoInItsCheckpoints) {
  TrainerOptions teacher = OptionsOf("teacher");
  teacher.config.eval_every = 10;
  const End taught = Train(teacher, 1, 1);
  ASSERT_EQ(taught.code, core::ExitCode::kOk);
  TrainerOptions options = OptionsOf("pupil");
  options.config.init_from = "teacher";
  const End end = Train(StoppedAfter(options, 8), 2, 1);
  EXPECT_EQ(end.code, core::ExitCode::kPreempted);
  EXPECT_LT(end.losses.front(), 0.9 * taught.losses.front());
  fs::remove_all(runs_ / "teacher");  // a resume needs it no more
  EXPECT_EQ(Train(options, 1, 1).code, core::ExitCode::kOk);
  const auto last = ChooseTrained(runs_ / "pupil/ckpt", "pupil", "newest", *comm::MakeSelf());
  const Identity identity = ReadIdentity(checkpoint::ReadManifest(last));
  EXPECT_TRUE(Contains(identity.at("initial weights"), "teacher/ckpt/step-000000"));
}

TEST_F(RunStartTest, RefusesWeightsOfAnotherModelOrTokenizer) {
  TrainerOptions teacher = OptionsOf("teacher");
  teacher.identity["heads"] = "4";
  ASSERT_EQ(Train(teacher, 1, 1).code, core::ExitCode::kOk);
  TrainerOptions options = OptionsOf("pupil");
  options.config.init_from = "teacher";
  options.identity["heads"] = "2";
  options.config.model.heads = 2;
  const std::string error = ConfigErrorOf([&] { Train(options, 1, 1); });
  EXPECT_TRUE(Contains(error, "its heads is 4, here 2")) << error;
  options = OptionsOf("pupil");
  options.config.init_from = "nobody";
  EXPECT_TRUE(Contains(ConfigErrorOf([&] { Train(options, 1, 1); }), "no checkpoint"));
}

}  // namespace
}  // namespace moat::trainer
