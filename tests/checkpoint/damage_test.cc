// Damage is found wherever it is, said in words, and passed over for the newest intact checkpoint.
#include <gtest/gtest.h>

#include <fstream>

#include "comm/self.h"
#include "comm/threads.h"
#include "core/durable_file.h"
#include "tests/checkpoint/sample_state.h"
#include "tests/support/temporary_directory.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

class DamagedCheckpoint : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const int64_t step : {100, 200}) {
      comm::ThreadGroup::Run(2, [&](comm::Communicator& world) {
        const testing::SampleState state(step, world.rank(), 2);
        Save({root_.path()}, testing::SamplePosition(step), state.ToSave(), world);
      });
    }
  }
  fs::path Newest() const { return root_ / "step-00000200"; }
  fs::path File(int rank) const {
    return Newest() / ("rank-0000" + std::to_string(rank) + ".safetensors");
  }
  static void FlipBit(const fs::path& path, int64_t at) {
    std::string bytes = core::ReadWholeFile(path);
    bytes[static_cast<size_t>(at)] = static_cast<char>(bytes[static_cast<size_t>(at)] ^ 0x10);
    std::ofstream(path, std::ios::binary) << bytes;
  }
  // Verify() says why, and choosing falls back to step 100 on one rank and on three.
  void ExpectPassedOver(const std::string& why) {
    try {
      Verify(Newest());
      ADD_FAILURE() << "damage went unnoticed";
    } catch (const core::DataError& error) {
      EXPECT_NE(std::string(error.what()).find(why), std::string::npos) << error.what();
    }
    for (const int ranks : {1, 3}) {
      comm::ThreadGroup::Run(ranks, [&](comm::Communicator& world) {
        const auto chosen = ChooseNewest(root_.path(), world);
        ASSERT_TRUE(chosen.has_value());
        EXPECT_EQ(chosen->filename(), "step-00000100");
      });
    }
    EXPECT_TRUE(testing::HoldsStep(root_ / "step-00000100", 100));
  }
  testing::TemporaryDirectory root_;
};

TEST_F(DamagedCheckpoint, FlippedBitAnywhereInAFile) {
  const auto size = static_cast<int64_t>(fs::file_size(File(1)));
  for (const int64_t at : {int64_t{0}, int64_t{9}, int64_t{200}, size / 2, size - 1}) {
    FlipBit(File(1), at);
    EXPECT_THROW(Verify(Newest()), core::DataError) << at;
    FlipBit(File(1), at);
  }
  EXPECT_NO_THROW(Verify(Newest()));
  FlipBit(File(1), size - 1);
  ExpectPassedOver("are damaged");
  testing::SampleState state(200, 0, 1);
  EXPECT_THROW(Load(Newest(), ReadManifest(Newest()), state.ToLoad()), core::DataError);
}

TEST_F(DamagedCheckpoint, FlippedBitInTheHeader) {
  FlipBit(File(0), 40);
  ExpectPassedOver("rank-00000.safetensors has a damaged header");
}

TEST_F(DamagedCheckpoint, FlippedBitInTheManifest) {
  FlipBit(Newest() / "manifest.json", 100);
  ExpectPassedOver("its CRC is");
}

TEST_F(DamagedCheckpoint, TruncatedFile) {
  fs::resize_file(File(0), fs::file_size(File(0)) - 1);
  ExpectPassedOver("bytes");
}

TEST_F(DamagedCheckpoint, MissingFile) {
  fs::remove(File(1));
  ExpectPassedOver("is missing");
}

TEST_F(DamagedCheckpoint, SwappedFiles) {
  fs::rename(File(0), Newest() / "x");
  fs::rename(File(1), File(0));
  fs::rename(Newest() / "x", File(1));
  ExpectPassedOver("writer 1");
}

TEST_F(DamagedCheckpoint, FileOfAnotherStep) {
  // Of the same size: only what it says of itself, and its bytes, differ.
  fs::copy_file(root_ / "step-00000100" / "rank-00000.safetensors", File(0),
                fs::copy_options::overwrite_existing);
  ExpectPassedOver("step 100");
}

TEST_F(DamagedCheckpoint, NoneIntactIsAStorageErrorWithAllReasons) {
  FlipBit(File(0), 40);
  fs::remove(root_ / "step-00000100" / "rank-00001.safetensors");
  try {
    ChooseNewest(root_.path(), *comm::MakeSelf());
    FAIL();
  } catch (const core::StorageError& error) {
    EXPECT_NE(std::string(error.what()).find("damaged header"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("is missing"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace moat::checkpoint
