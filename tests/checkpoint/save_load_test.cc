// Saving with some ranks, loading with others, in the order the commit promises.
#include <gtest/gtest.h>

#include "checkpoint/safetensors.h"
#include "comm/self.h"
#include "comm/threads.h"
#include "core/durable_file.h"
#include "tests/checkpoint/sample_state.h"
#include "tests/support/temporary_directory.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;
using parallel::Slice;
using testing::SamplePosition;
using testing::SampleState;

fs::path SaveSample(const fs::path& root, int64_t step, int ranks, int keep = 2,
                    std::vector<int64_t> protect = {}) {
  fs::path committed;
  comm::ThreadGroup::Run(ranks, [&](comm::Communicator& world) {
    const SampleState state(step, world.rank(), ranks);
    const fs::path path = Save({root, keep, protect}, SamplePosition(step), state.ToSave(), world);
    if (world.rank() == 0) committed = path;
  });
  return committed;
}

std::vector<std::string> Names(const fs::path& root) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(root)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

TEST(Checkpoint, SavedByFourIsLoadedByOneTwoAndThreeWithOtherCuts) {
  testing::TemporaryDirectory root;
  const fs::path saved = SaveSample(root / "ckpt", 200, 4);
  EXPECT_EQ(saved, root / "ckpt" / "step-00000200");
  EXPECT_NO_THROW(Verify(saved));
  const Manifest manifest = ReadManifest(saved);
  EXPECT_EQ(manifest.files.size(), 4u);
  EXPECT_EQ(manifest.position.run_id, "sample");
  EXPECT_EQ(manifest.position.values.at("config"), "{\"layers\":2}");
  for (const int ranks : {1, 2, 3}) {
    for (int r = 0; r < ranks; ++r) {
      for (const int64_t block : {1, 7, 1024}) {
        SampleState state(200, r, ranks, block);
        const SampleState expected(200, r, ranks, block);
        Load(saved, manifest, state.ToLoad());
        EXPECT_TRUE(state == expected) << "rank " << r << " of " << ranks;
      }
    }
  }
}

TEST(Checkpoint, RanksWithNothingToWriteWriteNoFile) {
  testing::TemporaryDirectory root;
  fs::path saved;
  comm::ThreadGroup::Run(3, [&](comm::Communicator& world) {
    const SampleState state(5, 0, 1);
    const auto slices = world.rank() == 1 ? state.ToSave() : std::vector<SliceToSave>{};
    const fs::path path = Save({root.path()}, SamplePosition(5), slices, world);
    if (world.rank() == 2) saved = path;
  });
  EXPECT_EQ(Names(saved), (std::vector<std::string>{"manifest.json", "rank-00001.safetensors"}));
  EXPECT_TRUE(testing::HoldsStep(saved, 5));
}

TEST(Checkpoint, FilesAreSafetensorsWithSlicesAsNames) {
  testing::TemporaryDirectory root;
  const fs::path saved = SaveSample(root.path(), 7, 1);
  const SafetensorsFile file = ReadSafetensorsHeader(saved / "rank-00000.safetensors");
  EXPECT_EQ(file.header_bytes % 8, 0);
  EXPECT_EQ(file.header.metadata.at("step"), "7");
  EXPECT_EQ(file.header.metadata.at("run_id"), "sample");
  EXPECT_EQ(file.header.metadata.at("writer"), "0");
  std::vector<std::string> names;
  for (const SafetensorsEntry& entry : file.header.entries) {
    names.push_back(entry.name);
    EXPECT_EQ((file.header_bytes + entry.begin) % core::SizeOf(entry.dtype), 0) << entry.name;
  }
  EXPECT_EQ(names, (std::vector<std::string>{"hash@0:5", "steps@", "embed@0:64,0:24", "norm@0:33",
                                             "head.bf16@0:48,0:36", "flags@0:7,0:3,0:11"}));
}

TEST(Checkpoint, StepThatExistsBecomesTheNextGeneration) {
  testing::TemporaryDirectory root;
  SaveSample(root.path(), 100, 2);
  EXPECT_EQ(SaveSample(root.path(), 100, 1).filename(), "step-00000100.g2");
  const auto newest = ChooseNewest(root.path(), *comm::MakeSelf());
  ASSERT_TRUE(newest.has_value());
  EXPECT_EQ(newest->filename(), "step-00000100.g2");
  EXPECT_TRUE(testing::HoldsStep(root / "step-00000100", 100));
}

TEST(Checkpoint, RetentionKeepsTwoAndTheProtectedAndCountsOnlyGoodOnes) {
  testing::TemporaryDirectory root;
  SaveSample(root.path(), 1, 2);
  for (int64_t step = 2; step <= 4; ++step) SaveSample(root.path(), step, 2, 0, {1});
  EXPECT_EQ(Names(root.path()),
            (std::vector<std::string>{"step-00000001", "step-00000003", "step-00000004"}));
  fs::resize_file(root / "step-00000004" / "rank-00001.safetensors", 20);
  SaveSample(root.path(), 5, 2, 2, {1});
  EXPECT_TRUE(testing::HoldsStep(root / "step-00000003", 3)) << "a damaged one was counted";
}

TEST(Checkpoint, SlicesThatDoNotTileAreABugOnAllRanksAndLeaveNothing) {
  testing::TemporaryDirectory root;
  std::atomic<int> thrown{0};
  comm::ThreadGroup::Run(3, [&](comm::Communicator& world) {
    const SampleState state(5, world.rank() % 2, 2);  // rank 2 repeats rank 0
    EXPECT_THROW(Save({root.path()}, SamplePosition(5), state.ToSave(), world), core::BugError);
    ++thrown;
    world.Barrier();  // the group is still of use
  });
  EXPECT_EQ(thrown, 3);
  EXPECT_TRUE(Names(root.path()).empty());
}

TEST(Checkpoint, WantedTensorMustMatchWhatWasSaved) {
  testing::TemporaryDirectory root;
  const fs::path saved = SaveSample(root.path(), 1, 2);
  const Manifest manifest = ReadManifest(saved);
  std::vector<float> memory(64 * 24);
  const auto refusal = [&](const SliceToLoad& wanted) {
    try {
      Load(saved, manifest, {wanted});
    } catch (const core::DataError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  const tensor::View view = tensor::HostView(memory.data(), 64 * 24);
  const core::Shape shape{64, 24};
  EXPECT_NE(refusal({"absent", shape, Slice::Whole(shape), view}).find("'absent'"),
            std::string::npos);
  const core::Shape turned{24, 64};
  const std::string shapes = refusal({"embed", turned, Slice::Whole(turned), view});
  EXPECT_NE(shapes.find("[64, 24]"), std::string::npos) << shapes;
  EXPECT_NE(shapes.find("[24, 64]"), std::string::npos) << shapes;
  const std::string dtypes =
      refusal({"embed", shape, Slice::Whole(shape), {memory.data(), 64 * 24, core::DType::kI32}});
  EXPECT_NE(dtypes.find("f32"), std::string::npos) << dtypes;
  EXPECT_NE(dtypes.find("i32"), std::string::npos) << dtypes;
}

TEST(Checkpoint, ChooseNewestOfNothingIsNothing) {
  testing::TemporaryDirectory root;
  EXPECT_FALSE(ChooseNewest(root / "absent", *comm::MakeSelf()).has_value());
  EXPECT_FALSE(ChooseNewest(root.path(), *comm::MakeSelf()).has_value());
}

}  // namespace
}  // namespace moat::checkpoint
