// The state of every device in checkpoints: saved beside training or at once, loaded however it was
// cut.
#include "checkpoint/checkpoint.h"

#include "checkpoint/saver.h"
#include "comm/self.h"
#include "tests/gpu/on_device.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/values.h"

namespace moat {
namespace {

using checkpoint::SliceToLoad;
using checkpoint::SliceToSave;
using core::DType;
using parallel::Slice;

const core::Shape kShape = {60, 37};
constexpr int64_t kElements = 60 * 37;

class CheckpointTest : public testing::OnDevice {
 protected:
  // Columns [begin, end) of the tensor "w" in this device's memory.
  struct Columns {
    Slice slice;
    tensor::Tensor memory;
  };
  Columns Take(int64_t begin, int64_t end, const std::vector<float>& values) {
    Columns columns{{{0, begin}, {kShape[0], end}}, {}};
    std::vector<float> mine(static_cast<size_t>(columns.slice.elements()));
    CopySlice(columns.slice, Slice::Whole(kShape), values.data(), columns.slice, mine.data(),
              sizeof(float));
    columns.memory = Put(mine, DType::kF32);
    return columns;
  }
  SliceToSave ToSave(const Columns& columns) {
    return {"w", kShape, columns.slice, columns.memory.view(), &stream()};
  }
  checkpoint::RunPosition Position(int64_t step) const { return {"run", step, {}, {}}; }

  // Loads "w" cut into columns at `cut` and expects `values`.
  void ExpectHeld(const std::filesystem::path& directory, int64_t cut,
                  const std::vector<float>& values) {
    const std::vector<float> nothing(kElements, -1);
    Columns parts[] = {Take(0, cut, nothing), Take(cut, kShape[1], nothing)};
    std::vector<SliceToLoad> wanted;
    for (Columns& part : parts) {
      wanted.push_back({"w", kShape, part.slice, part.memory.view(), &stream()});
    }
    checkpoint::Load(directory, checkpoint::ReadManifest(directory), wanted);
    for (const Columns& part : parts) {
      const Columns expected = Take(part.slice.begin[1], part.slice.end[1], values);
      EXPECT_TRUE(testing::SameBits(Get(part.memory), Get(expected.memory))) << "cut at " << cut;
    }
  }

  testing::TemporaryDirectory root_;
  std::unique_ptr<comm::Communicator> world_ = comm::MakeSelf();
};
MOAT_ON_EVERY_DEVICE(CheckpointTest);

TEST_P(CheckpointTest, WhatIsSavedFromADeviceIsLoadedIntoItHoweverItIsCut) {
  const std::vector<float> values = testing::RandomValues("w", kElements);
  const Columns left = Take(0, 9, values), right = Take(9, kShape[1], values);
  const auto directory =
      checkpoint::Save({root_.path()}, Position(1), {ToSave(left), ToSave(right)}, *world_);
  for (const int64_t cut : {9, 20, 37}) ExpectHeld(directory, cut, values);
}

TEST_P(CheckpointTest, ASaveBesideTrainingHoldsWhatWasThereWhenItBegan) {
  const std::vector<float> values = testing::RandomValues("w", kElements);
  Columns whole = Take(0, kShape[1], values);
  checkpoint::Saver saver({root_.path()}, "run", *world_);
  saver.Reserve({ToSave(whole)});
  saver.Begin(Position(2), {ToSave(whole)}, {}, 2);
  tensor::Zero(whole.memory.view(), stream());  // training goes on
  stream().Synchronize();
  const checkpoint::SaveResult result = saver.Finish();
  ASSERT_TRUE(result.ok()) << result.failure.text;
  ExpectHeld(result.directory, 20, values);
}

}  // namespace
}  // namespace moat
