// Two checkpoints compared, a tensor measured and a checkpoint copied, whatever grids wrote them.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>

#include "checkpoint/box_reader.h"
#include "checkpoint/compare.h"
#include "checkpoint/copy.h"
#include "checkpoint/statistics.h"
#include "comm/self.h"
#include "comm/threads.h"
#include "tests/checkpoint/sample_state.h"
#include "tests/support/temporary_directory.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;
using parallel::Slice;

const core::Shape kShape{8, 6};

// Saves `values` as the tensor "w", cut as said.
fs::path SaveCut(const fs::path& root, const std::vector<float>& values,
                 const std::vector<Slice>& cut) {
  std::vector<std::vector<float>> parts;
  std::vector<SliceToSave> slices;
  parts.reserve(cut.size());
  for (const Slice& slice : cut) {
    std::vector<float>& part = parts.emplace_back(slice.elements());
    parallel::CopySlice(slice, Slice::Whole(kShape), values.data(), slice, part.data(), 4);
    slices.push_back(
        {"w", kShape, slice, tensor::HostView(std::as_const(part).data(), slice.elements())});
  }
  return Save({root}, testing::SamplePosition(1), slices, *comm::MakeSelf());
}

std::vector<float> Counting() {
  std::vector<float> values(48);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return values;
}

const std::vector<Slice> kByRows = {{{0, 0}, {3, 6}}, {{3, 0}, {8, 6}}};
const std::vector<Slice> kByColumns = {{{0, 0}, {8, 1}}, {{0, 1}, {8, 4}}, {{0, 4}, {8, 6}}};

TEST(BoxReader, StretchesTileWhatPiecesShareAndReadTheRightElements) {
  testing::TemporaryDirectory root;
  const fs::path saved = SaveCut(root.path(), Counting(), kByColumns);
  const Manifest manifest = ReadManifest(saved);
  BoxReader reader(saved, manifest);
  reader.Check("w");
  const Slice rows{{2, 0}, {7, 6}};
  for (const int64_t largest : {1, 2, 3, 5, 7, 100}) {
    std::map<float, int> seen;
    for (const Piece& piece : manifest.tensors.at("w").pieces) {
      const Slice common = parallel::Intersect(piece.slice, rows);
      ForEachStretch(common, {&piece.slice, &rows}, largest, [&](const Slice& stretch) {
        const auto bytes = reader.Read(piece, core::DType::kF32, stretch);
        EXPECT_EQ(static_cast<int64_t>(bytes.size()), stretch.elements() * 4);
        EXPECT_LE(stretch.elements(), std::max<int64_t>(largest, 1));
        for (const double value : ToDoubles(bytes, core::DType::kF32)) {
          ++seen[static_cast<float>(value)];
        }
      });
    }
    EXPECT_EQ(seen.size(), 30u) << largest;
    for (const auto& [value, times] : seen) {
      EXPECT_TRUE(times == 1 && value >= 12 && value < 42) << value;
    }
  }
}

TEST(Compare, SameStateOfDifferentGridsIsEqual) {
  testing::TemporaryDirectory a, b;
  for (const auto& [root, ranks, block] : {std::tuple(&a, 1, 50), std::tuple(&b, 3, 7)}) {
    comm::ThreadGroup::Run(ranks,
                           [&, n = ranks, cut = block, to = root](comm::Communicator& world) {
                             const testing::SampleState state(5, world.rank(), n, cut);
                             Save({to->path()}, testing::SamplePosition(5), state.ToSave(), world);
                           });
  }
  const auto same = Compare(a / "step-00000005", b / "step-00000005");
  EXPECT_TRUE(same.SameTensors());
  EXPECT_EQ(same.same, 7);
  EXPECT_TRUE(same.position.empty());
}

TEST(Compare, NamesWhatDiffersWhereAndByHowMuch) {
  testing::TemporaryDirectory a, b;
  std::vector<float> changed = Counting();
  changed[5 * 6 + 1] = std::numeric_limits<float>::quiet_NaN();
  changed[3 * 6 + 4] += 0.5f;
  changed[7 * 6 + 5] -= 2;
  const auto found =
      Compare(SaveCut(a.path(), Counting(), kByRows), SaveCut(b.path(), changed, kByColumns));
  ASSERT_EQ(found.tensors.size(), 1u);
  const TensorDifference& w = found.tensors[0];
  EXPECT_EQ(w.tensor, "w");
  EXPECT_EQ(w.elements, 48);
  EXPECT_EQ(w.differing, 3);
  EXPECT_EQ(w.not_comparable, 1);
  EXPECT_EQ(w.max_absolute, 2);
  EXPECT_EQ(w.max_relative, 2.0 / 47);
  EXPECT_EQ(w.first, (std::vector<int64_t>{3, 4}));  // though another column's piece comes earlier
  EXPECT_EQ(w.first_a, 22);
  EXPECT_EQ(w.first_b, 22.5);
  EXPECT_EQ(found.same, 0);
}

TEST(Compare, NamesTensorsOfOneSideOtherKindsAndThePosition) {
  testing::TemporaryDirectory a, b;
  const std::vector<float> ones(4, 1.0f);
  const auto save = [&](const fs::path& root, int64_t step, const std::string& name,
                        const core::Shape& shape) {
    const core::Shape flat{4};
    return Save({root}, testing::SamplePosition(step),
                {{name, flat, Slice::Whole(flat), tensor::HostView(ones.data(), 4)},
                 {"both", shape, Slice::Whole(shape), tensor::HostView(ones.data(), 4)}},
                *comm::MakeSelf());
  };
  const auto found = Compare(save(a.path(), 1, "left", {4}), save(b.path(), 2, "right", {2, 2}));
  EXPECT_EQ(found.only_a, (std::vector<std::string>{"left"}));
  EXPECT_EQ(found.only_b, (std::vector<std::string>{"right"}));
  ASSERT_TRUE(found.kinds.contains("both"));
  EXPECT_EQ(found.kinds.at("both").second, "f32 [2, 2]");
  ASSERT_EQ(found.position.size(), 1u);
  EXPECT_EQ(found.position.at("step"), (std::pair<std::string, std::string>{"1", "2"}));
  EXPECT_FALSE(found.SameTensors());
}

TEST(Compare, DamageIsNeverADifference) {
  testing::TemporaryDirectory a, b;
  const fs::path left = SaveCut(a.path(), Counting(), kByRows);
  const fs::path right = SaveCut(b.path(), Counting(), kByRows);
  std::string bytes = core::ReadWholeFile(right / "rank-00000.safetensors");
  bytes.back() ^= 1;
  core::FileWriter(right / "rank-00000.safetensors").Write(bytes);
  try {
    Compare(left, right);
    FAIL();
  } catch (const core::DataError& error) {
    EXPECT_NE(std::string(error.what()).find("'w'"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(right.string()), std::string::npos) << error.what();
  }
}

TEST(MeasureTensor, CountsNaNsAndSumsTheRest) {
  testing::TemporaryDirectory root;
  std::vector<float> values(48, 2.0f);
  values[3] = -4;
  values[40] = std::numeric_limits<float>::quiet_NaN();
  values[41] = -std::numeric_limits<float>::infinity();
  const fs::path saved = SaveCut(root.path(), values, kByColumns);
  const TensorStatistics found = MeasureTensor(saved, ReadManifest(saved), "w");
  EXPECT_EQ(found.elements, 48);
  EXPECT_EQ(found.nans, 1);
  EXPECT_EQ(found.infinities, 1);
  EXPECT_EQ(found.min, -4);
  EXPECT_EQ(found.max, 2);
  EXPECT_EQ(found.mean, (45 * 2.0 - 4) / 46);
  EXPECT_EQ(found.rms, std::sqrt((45 * 4.0 + 16) / 46));
  try {
    MeasureTensor(saved, ReadManifest(saved), "v");
    FAIL();
  } catch (const core::DataError& error) {
    EXPECT_NE(std::string(error.what()).find("has no tensor 'v'"), std::string::npos);
  }
}

class CopyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    comm::ThreadGroup::Run(3, [&](comm::Communicator& world) {
      const testing::SampleState state(7, world.rank(), 3);
      Save({from_.path()}, testing::SamplePosition(7), state.ToSave(), world);
    });
  }
  fs::path Source() const { return from_ / "step-00000007"; }
  testing::TemporaryDirectory from_, to_;
};

TEST_F(CopyTest, ACopyIsWholeAndNeverOverwrites) {
  const CopyReport report = Copy(Source().string() + "/", to_ / "new/ckpt");
  EXPECT_EQ(report.directory, to_ / "new/ckpt/step-00000007");
  EXPECT_EQ(report.files, 3);
  EXPECT_TRUE(testing::HoldsStep(report.directory, 7));
  EXPECT_TRUE(Compare(Source(), report.directory).position.empty());
  EXPECT_THROW(Copy(Source(), to_ / "new/ckpt"), core::ConfigError);
  EXPECT_TRUE(testing::HoldsStep(report.directory, 7));
}

TEST_F(CopyTest, DamageAndFailureLeaveNothing) {
  setenv("MOAT_FAULT", "checkpoint.copying:throw", 1);
  EXPECT_THROW(Copy(Source(), to_.path()), core::StorageError);
  unsetenv("MOAT_FAULT");
  EXPECT_TRUE(fs::is_empty(to_.path()));
  std::string bytes = core::ReadWholeFile(Source() / "rank-00001.safetensors");
  bytes.back() ^= 1;
  core::FileWriter(Source() / "rank-00001.safetensors").Write(bytes);
  EXPECT_THROW(Copy(Source(), to_.path()), core::DataError);
  EXPECT_TRUE(fs::is_empty(to_.path()));
}

TEST_F(CopyTest, WhatAKilledCopyLeftDoesNotGetIn) {
  fs::create_directories(to_ / ".tmp-copy-step-00000007");
  core::FileWriter(to_ / ".tmp-copy-step-00000007/rank-00009.safetensors").Write("half");
  Copy(Source(), to_.path());
  EXPECT_FALSE(fs::exists(to_ / "step-00000007/rank-00009.safetensors"));
  EXPECT_TRUE(testing::HoldsStep(to_ / "step-00000007", 7));
}

}  // namespace
}  // namespace moat::checkpoint
