// Verifying for people: all damage, not the first; every kind of torn, absent and foreign file.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "checkpoint/manifest/inventory.h"
#include "checkpoint/retention.h"
#include "checkpoint/verify.h"
#include "comm/self.h"
#include "comm/threads.h"
#include "core/durable_file.h"
#include "tests/checkpoint/sample_state.h"
#include "tests/support/temporary_directory.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

void SaveSample(const fs::path& root, int64_t step, const std::string& run_id = "sample") {
  comm::ThreadGroup::Run(3, [&](comm::Communicator& world) {
    const testing::SampleState state(step, world.rank(), 3);
    RunPosition position = testing::SamplePosition(step);
    position.run_id = run_id;
    Save({root, 9}, position, state.ToSave(), world);
  });
}

class VerifyAllTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SaveSample(root_.path(), 100);
    SaveSample(root_.path(), 200);
  }
  fs::path Newest() const { return root_ / "step-00000200"; }
  fs::path File(int rank) const {
    return Newest() / ("rank-0000" + std::to_string(rank) + ".safetensors");
  }
  std::string FileName(int rank) const { return File(rank).filename(); }
  std::string Bytes(int rank) const { return core::ReadWholeFile(File(rank)); }
  void Write(int rank, const std::string& bytes) const {
    std::ofstream(File(rank), std::ios::binary) << bytes;
  }
  // The tensors with bytes of the file at or behind `from`.
  std::set<std::string> TensorsFrom(int rank, int64_t from) const {
    std::set<std::string> names;
    for (const auto& [name, tensor] : ReadManifest(root_ / "step-00000100").tensors) {
      for (const Piece& piece : tensor.pieces) {
        if (piece.file == FileName(rank) && piece.offset + piece.bytes > from) names.insert(name);
      }
    }
    return names;
  }
  // The file is named, with `why`, and so are exactly these tensors; the run falls back.
  void ExpectFound(int rank, const std::string& why, const std::set<std::string>& tensors) const {
    for (const int threads : {1, 4}) {
      std::string whats;
      std::set<std::string> named;
      for (const Damage& damage : VerifyAll(Newest(), threads).damages) {
        EXPECT_EQ(damage.file, FileName(rank));
        EXPECT_NE(damage.what.find(damage.file), std::string::npos) << damage.what;
        if (!damage.tensor.empty()) named.insert(damage.tensor);
        whats += damage.what + "\n";
      }
      EXPECT_NE(whats.find(why), std::string::npos) << whats;
      EXPECT_EQ(named, tensors) << whats;
    }
    const auto chosen = ChooseNewest(root_.path(), *comm::MakeSelf());
    ASSERT_TRUE(chosen.has_value());
    EXPECT_EQ(chosen->filename(), "step-00000100");
  }
  testing::TemporaryDirectory root_;
};

TEST_F(VerifyAllTest, IntactOneIsCounted) {
  int64_t told = 0, of = 0;
  const Verification found = VerifyAll(Newest(), 4, [&](int64_t done, int64_t all) {
    EXPECT_GT(done, told);
    told = done;
    of = all;
  });
  EXPECT_TRUE(found.ok());
  EXPECT_EQ(found.step, 200);
  EXPECT_EQ(found.tensors, 7);
  EXPECT_EQ(found.files, 3);
  EXPECT_EQ(told, found.bytes);
  EXPECT_EQ(of, found.bytes);
}

TEST_F(VerifyAllTest, EveryDamagedPieceIsNamedNotOnlyTheFirst) {
  const Manifest manifest = ReadManifest(Newest());
  std::set<std::pair<std::string, std::string>> expected, found;
  for (int rank = 0; rank < 3; ++rank) {
    std::string bytes = Bytes(rank);
    for (const auto& [name, tensor] : manifest.tensors) {
      for (const Piece& piece : tensor.pieces) {
        if (piece.file != FileName(rank)) continue;
        bytes[static_cast<size_t>(piece.offset)] ^= 1;
        expected.insert({name, piece.slice.text()});
      }
    }
    Write(rank, bytes);
  }
  for (const Damage& damage : VerifyAll(Newest(), 4).damages) {
    found.insert({damage.tensor, damage.slice});
  }
  EXPECT_GT(expected.size(), 6u);
  EXPECT_EQ(found, expected);
}

TEST_F(VerifyAllTest, LastByteAbsent) {
  const auto size = static_cast<int64_t>(Bytes(1).size());
  fs::resize_file(File(1), static_cast<uintmax_t>(size - 1));
  ExpectFound(1, "bytes, " + std::to_string(size) + " were written", TensorsFrom(1, size - 1));
}

TEST_F(VerifyAllTest, HalfAFile) {
  const auto half = static_cast<int64_t>(Bytes(0).size() / 2);
  fs::resize_file(File(0), static_cast<uintmax_t>(half));
  ExpectFound(0, "were written", TensorsFrom(0, half));
}

TEST_F(VerifyAllTest, EmptyFile) {
  fs::resize_file(File(2), 0);
  ExpectFound(2, "has 0 bytes", TensorsFrom(2, 0));
}

TEST_F(VerifyAllTest, JunkAppended) {
  Write(1, Bytes(1) + "junk");
  ExpectFound(1, "were written", {});
}

TEST_F(VerifyAllTest, ZeroedPage) {
  std::string bytes = Bytes(0);
  const auto from = static_cast<int64_t>(bytes.size() - 512);  // a file of a few pages: its last
  std::fill(bytes.begin() + from, bytes.end(), '\0');
  Write(0, bytes);
  ExpectFound(0, "are damaged", TensorsFrom(0, from));
}

TEST_F(VerifyAllTest, EveryAbsentFileIsListed) {
  fs::remove(File(0));
  fs::remove(File(2));
  const std::vector<Damage> damages = VerifyAll(Newest(), 2).damages;
  ASSERT_EQ(damages.size(), 2u);
  EXPECT_EQ(damages[0].file, FileName(0));
  EXPECT_EQ(damages[1].file, FileName(2));
  EXPECT_NE(damages[1].what.find("is missing"), std::string::npos) << damages[1].what;
}

TEST_F(VerifyAllTest, FileOfAnotherRun) {
  testing::TemporaryDirectory other;
  SaveSample(other.path(), 200, "foreign");
  fs::copy_file(other / "step-00000200" / FileName(1), File(1),
                fs::copy_options::overwrite_existing);
  // Of the same size and with the same data: its header alone tells.
  ExpectFound(1, "its header says: run foreign, step 200, writer 1", {});
}

TEST_F(VerifyAllTest, FileOfAnotherStep) {
  fs::copy_file(root_ / "step-00000100" / FileName(1), File(1),
                fs::copy_options::overwrite_existing);
  ExpectFound(1, "its header says: run sample, step 100, writer 1", TensorsFrom(1, 0));
}

TEST_F(VerifyAllTest, WithoutAManifestThatIsTheDamage) {
  fs::remove(Newest() / kManifestName);
  const std::vector<Damage> damages = VerifyAll(Newest(), 2).damages;
  ASSERT_EQ(damages.size(), 1u);
  EXPECT_EQ(damages[0].file, kManifestName);
  EXPECT_NE(damages[0].what.find("is not a checkpoint"), std::string::npos) << damages[0].what;
}

TEST_F(VerifyAllTest, InventoryTellsCompleteFromNotWithoutReadingData) {
  fs::remove(File(1));
  fs::create_directory(root_ / ".tmp-sample-300");
  std::ofstream(root_ / ".tmp-sample-300" / "rank-00000.safetensors") << "half";
  const Inventory list = TakeInventory(root_.path());
  ASSERT_EQ(list.checkpoints.size(), 2u);
  EXPECT_EQ(list.checkpoints[0].problem, "rank-00001.safetensors is missing");
  EXPECT_FALSE(list.checkpoints[0].newest);
  EXPECT_TRUE(list.checkpoints[1].newest);
  EXPECT_TRUE(list.checkpoints[1].complete());
  EXPECT_GT(list.checkpoints[1].bytes, 9000);
  ASSERT_EQ(list.leftovers.size(), 1u);
  EXPECT_EQ(list.leftovers[0].bytes, 4);
  EXPECT_TRUE(TakeInventory(root_ / "absent").checkpoints.empty());
}

TEST_F(VerifyAllTest, RetentionNeitherCountsNorRemovesWhatIsNotComplete) {
  SaveSample(root_.path(), 300);
  SaveSample(root_.path(), 400);
  fs::remove(File(1));  // of step 200
  const auto removals = ListRemovals(root_.path(), {2});
  ASSERT_EQ(removals.size(), 1u);
  EXPECT_EQ(removals[0].step, 100);
  fs::remove(root_ / "step-00000300" / FileName(0));
  EXPECT_TRUE(ListRemovals(root_.path(), {2}).empty());  // 400 and 100 are the two good ones
}

}  // namespace
}  // namespace moat::checkpoint
