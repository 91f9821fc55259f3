// The manifest: text and back, and every kind of damage refused.
#include "checkpoint/manifest/manifest.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "checkpoint/manifest/line.h"
#include "core/crc32c.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "tests/support/temporary_directory.h"

namespace moat::checkpoint {
namespace {

Manifest Sample() {
  Manifest m;
  m.position = {"run \"x\"", 200, {"ckpt/step-00000100"}, {{"config", "{\"a\":[1,2.5,null]}"}}};
  m.tensors["w"] = {core::DType::kF32,
                    {4, 6},
                    {{{{0, 0}, {2, 6}}, "a", 16, 48, 0x1234}, {{{2, 0}, {4, 6}}, "b", 24, 48, 7}}};
  m.tensors["s"] = {core::DType::kU64, {}, {{{{}, {}}, "a", 64, 8, 0xffffffff}}};
  m.tensors["none"] = {core::DType::kBF16, {0, 3}, {}};
  m.files["a"] = {72, 16, 1};
  m.files["b"] = {72, 24, 2};
  return m;
}

// What FromText says to a manifest that was changed.
std::string Refusal(const std::function<void(Manifest&)>& change) {
  Manifest m = Sample();
  change(m);
  try {
    Manifest::FromText(m.ToText(), "here/manifest.json");
  } catch (const core::DataError& error) {
    EXPECT_EQ(std::string(error.what()).find("here/manifest.json"), 0u) << error.what();
    return error.what();
  }
  return "";
}

#define EXPECT_REFUSED(change, part)                                  \
  do {                                                                \
    const std::string text = Refusal([](Manifest& m) { change; });    \
    EXPECT_NE(text.find(part), std::string::npos) << #change << text; \
  } while (false)

TEST(Manifest, TextAndBack) {
  const std::string text = Sample().ToText();
  const Manifest m = Manifest::FromText(text, "x");
  EXPECT_EQ(m.ToText(), text);
  EXPECT_EQ(m.position.run_id, "run \"x\"");
  EXPECT_EQ(m.position.step, 200);
  EXPECT_EQ(m.position.values.at("config"), "{\"a\":[1,2.5,null]}");
  EXPECT_EQ(m.tensors.at("w").pieces.at(1).slice, (parallel::Slice{{2, 0}, {4, 6}}));
  EXPECT_EQ(m.tensors.at("s").pieces.at(0).crc32c, 0xffffffffu);
  EXPECT_EQ(m.tensors.at("none").shape, (core::Shape{0, 3}));
}

TEST(Manifest, AnyFlippedBitOrCutIsRefused) {
  const std::string text = Sample().ToText();
  for (size_t i = 0; i < text.size(); ++i) {
    std::string flipped = text;
    flipped[i] = static_cast<char>(flipped[i] ^ (1 << (i % 8)));
    EXPECT_THROW(Manifest::FromText(flipped, "x"), core::DataError) << i;
    EXPECT_THROW(Manifest::FromText(text.substr(0, i), "x"), core::DataError) << i;
  }
  EXPECT_THROW(Manifest::FromText(text + "\n", "x"), core::DataError);
}

TEST(Manifest, NewerVersionIsRefused) { EXPECT_REFUSED(m.version = 2, "newer"); }

TEST(Manifest, TensorsMustBeTiled) {
  EXPECT_EQ(Refusal([](Manifest&) {}), "");
  EXPECT_REFUSED(m.tensors["w"].pieces.pop_back(), "12 of 24 elements");
  EXPECT_REFUSED(m.tensors["w"].pieces[1].slice.begin[0] = 1, "bytes");
  EXPECT_REFUSED((m.tensors["w"].pieces[1].slice = {{1, 0}, {3, 6}}), "overlap");
  EXPECT_REFUSED((m.tensors["w"].pieces[1].slice = {{3, 0}, {5, 6}}), "not inside");
  EXPECT_REFUSED((m.tensors["w"].pieces[1].slice = {{2}, {4}}), "not inside");
  EXPECT_REFUSED((m.tensors["w"].shape = {4, 7}), "of 28 elements");
  EXPECT_REFUSED((m.tensors["w"].shape = {int64_t{1} << 40, int64_t{1} << 40}), "impossible");
  EXPECT_REFUSED(m.tensors["w"].dtype = core::DType::kF64, "bytes");
  EXPECT_REFUSED(m.tensors["s"].pieces.clear(), "0 of 1 elements");
}

TEST(Manifest, FilesMustBeTiled) {
  EXPECT_REFUSED(m.tensors["w"].pieces[1].offset += 4, "not tiled");
  EXPECT_REFUSED(m.tensors["w"].pieces[1].file = "c", "not listed");
  EXPECT_REFUSED(m.files["a"].bytes += 1, "pieces end at");
  EXPECT_REFUSED(m.files["a"].header_bytes -= 8, "not tiled");
  EXPECT_REFUSED(m.files["b"].header_bytes = 0, "no header");
  EXPECT_REFUSED((m.files["../b"] = {8, 8, 0}), "not the name");
  EXPECT_REFUSED((m.files["manifest.json"] = {8, 8, 0}), "not the name");
}

TEST(Manifest, ValueThatIsNotJsonIsABug) {
  Manifest m = Sample();
  m.position.values["config"] = "{";
  EXPECT_THROW(m.ToText(), core::BugError);
}

TEST(CheckpointDirectory, NamesAndListing) {
  EXPECT_EQ(CheckpointName(200, 1), "step-00000200");
  EXPECT_EQ(CheckpointName(200, 2), "step-00000200.g2");
  EXPECT_EQ(CheckpointName(1234567890, 1), "step-1234567890");
  testing::TemporaryDirectory root;
  EXPECT_TRUE(ListCheckpoints(root / "absent").empty());
  for (const char* name : {"step-00000100", "step-00000200", "step-00000200.g2",
                           "step-00000200.g10", "step-1234567890", "step-200", "step-00000300.g1",
                           "step-00000300.gx", "step-", ".tmp-run-400", "other"}) {
    std::filesystem::create_directory(root / name);
    std::ofstream(root / name / "manifest.json") << "x";
  }
  std::filesystem::create_directory(root / "step-00000500");  // without manifest
  std::vector<std::string> names;
  for (const auto& found : ListCheckpoints(root.path())) {
    names.push_back(found.path.filename().string());
  }
  EXPECT_EQ(names,
            (std::vector<std::string>{"step-1234567890", "step-00000200.g10", "step-00000200.g2",
                                      "step-00000200", "step-00000100"}));
  EXPECT_EQ(FreeCheckpointName(root.path(), 100), "step-00000100.g2");
  EXPECT_EQ(FreeCheckpointName(root.path(), 300), "step-00000300");
}

std::vector<int64_t> RemovedSteps(int keep, const std::vector<int64_t>& protect,
                                  int64_t keep_every = 0) {
  std::vector<CheckpointDirectory> good = {{"e", 500, 1}, {"d2", 400, 2}, {"d", 400, 1},
                                           {"c", 300, 1}, {"b", 200, 1},  {"a", 100, 1}};
  std::vector<int64_t> steps;
  for (const auto& removal : ChooseRemovals(good, {keep, protect, keep_every})) {
    steps.push_back(removal.step);
  }
  return steps;
}

TEST(Retention, KeepsTheNewestStepsNeverFewerThanTwoAndTheProtected) {
  EXPECT_EQ(RemovedSteps(2, {}), (std::vector<int64_t>{300, 200, 100}));
  EXPECT_EQ(RemovedSteps(0, {}), RemovedSteps(2, {}));
  EXPECT_EQ(RemovedSteps(-5, {}), RemovedSteps(2, {}));
  EXPECT_EQ(RemovedSteps(3, {}), (std::vector<int64_t>{200, 100}));
  EXPECT_EQ(RemovedSteps(2, {100, 300}), (std::vector<int64_t>{200}));
  EXPECT_EQ(RemovedSteps(9, {}), (std::vector<int64_t>{}));
  EXPECT_TRUE(ChooseRemovals({}, {}).empty());
}

TEST(Retention, KeepsMilestonesBesideTheNewestButNoneOfAnAbandonedLine) {
  EXPECT_EQ(RemovedSteps(2, {}, 300), (std::vector<int64_t>{200, 100}));
  EXPECT_EQ(RemovedSteps(2, {100}, 200), (std::vector<int64_t>{300}));
  EXPECT_EQ(RemovedSteps(2, {}, 1), (std::vector<int64_t>{}));
  const std::vector<CheckpointDirectory> good = {
      {"own9", 900, 1}, {"own8", 800, 1}, {"lost6", 600, 1, true}, {"own3", 300, 1}};
  const auto removals = ChooseRemovals(good, {2, {}, 300});
  ASSERT_EQ(removals.size(), 1u);
  EXPECT_EQ(removals[0].path, "lost6");
}

TEST(Retention, AnAbandonedLineIsNotCountedAndGoesOnceItIsPassedBy) {
  const CheckpointDirectory own9{"own9", 900, 1}, own5{"own5", 500, 1}, own4{"own4", 400, 2};
  const CheckpointDirectory lost7{"lost7", 700, 1, true}, lost4{"lost4", 400, 1, true},
      lost3{"lost3", 300, 1, true};
  const auto removed = [](const std::vector<CheckpointDirectory>& good) {
    std::vector<std::string> names;
    for (const auto& removal : ChooseRemovals(good, {2, {300}})) names.push_back(removal.path);
    return names;
  };
  // Counted by steps alone, the own checkpoints would go, the one just saved first.
  EXPECT_EQ(removed({lost7, own5, own4, lost4, lost3}), (std::vector<std::string>{"lost3"}));
  EXPECT_EQ(removed({own9, lost7, own5, own4, lost4, lost3}),
            (std::vector<std::string>{"own4", "lost4", "lost3"}));
  EXPECT_EQ(removed({own9, lost7, lost4}), (std::vector<std::string>{}));
}

class LineTest : public ::testing::Test {
 protected:
  void Make(const std::string& name) {
    std::filesystem::create_directory(root_ / name);
    std::ofstream(root_ / name / "manifest.json") << "x";
  }
  std::vector<std::string> Line() const {
    std::vector<std::string> names;
    for (const auto& found : ListLine(root_.path())) names.push_back(found.path.filename());
    return names;
  }
  using Names = std::vector<std::string>;
  testing::TemporaryDirectory root_;
};

TEST_F(LineTest, AfterARollBackTheRunsOwnLineCountsNotTheHighestStep) {
  for (const char* name : {"step-00000200", "step-00000400", "step-00000600"}) Make(name);
  GoOnFrom(root_.path(), "step-00000600", {"step-00000200", "step-00000400"});
  EXPECT_FALSE(std::filesystem::exists(root_ / kAbandonedName));
  GoOnFrom(root_.path(), "step-00000200", {});
  EXPECT_EQ(Line(), (Names{"step-00000200"}));
  EXPECT_EQ(FreeCheckpointName(root_.path(), 400), "step-00000400.g2");
  Make("step-00000400.g2");
  EXPECT_EQ(Line(), (Names{"step-00000400.g2", "step-00000200"}));
  EXPECT_EQ(FindStep(root_.path(), 400)->generation, 2);
  EXPECT_EQ(FindStep(root_.path(), 600)->generation, 1);
  EXPECT_FALSE(FindStep(root_.path(), 500));
  // Resuming from the newest of the line changes nothing; going back to the other line does.
  GoOnFrom(root_.path(), "step-00000400.g2", {"step-00000200"});
  EXPECT_EQ(Line(), (Names{"step-00000400.g2", "step-00000200"}));
  GoOnFrom(root_.path(), "step-00000600", {"step-00000200", "step-00000400"});
  EXPECT_EQ(Line(), (Names{"step-00000600", "step-00000400", "step-00000200"}));
  // The name of an abandoned one stays taken, or a new one would be abandoned from birth.
  std::filesystem::remove_all(root_ / "step-00000400.g2");
  EXPECT_EQ(FreeCheckpointName(root_.path(), 400), "step-00000400.g3");
}

TEST_F(LineTest, DamageIsRefusedAndSaysWhatToDo) {
  Make("step-00000200");
  Make("step-00000400");
  GoOnFrom(root_.path(), "step-00000200", {});
  const std::filesystem::path file = root_ / kAbandonedName;
  const std::string text = core::ReadWholeFile(file);
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    std::string flipped = text;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    core::WriteFileAtomically(file, flipped);
    try {
      EXPECT_EQ(Line(), (Names{"step-00000200"})) << flipped;
    } catch (const core::StorageError& error) {
      EXPECT_NE(std::string(error.what()).find("--resume=STEP"), std::string::npos);
    }
  }
}

}  // namespace
}  // namespace moat::checkpoint
