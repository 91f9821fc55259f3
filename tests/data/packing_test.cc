// Packing, windows and the table of them: functions of the data alone, and a cache that never lies.
#include "data/packing.h"

#include <fstream>
#include <map>
#include <numeric>

#include "data/packing_table.h"
#include "data/sample_stream.h"
#include "data/windows.h"
#include "tests/data/fixture.h"
#include "tests/support/synthetic_dataset.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

TEST(Packing, CoversEverySlotOnceWithinRows) {
  const std::vector<int64_t> lengths = {3, 100, 2, 65, 64, 17, 33, 34, 9, 2, 1000};
  for (const int64_t seq_len : {1, 2, 7, 16, 32, 64, 5000}) {
    const Packing packing = {seq_len, PackMode::kSeparate};
    std::map<std::pair<int64_t, int64_t>, int> seen;
    const Rows rows = PackBlock(lengths, packing);
    EXPECT_EQ(CountRows(lengths, packing), rows.size());
    for (int64_t row = 0; row < rows.size(); ++row) {
      int64_t used = 0;
      for (const Piece& piece : rows[row]) {
        used += piece.slots;
        EXPECT_EQ(piece.first_slot % seq_len, 0);
        for (int64_t s = 0; s < piece.slots; ++s) ++seen[{piece.interaction, piece.first_slot + s}];
      }
      EXPECT_LE(used, seq_len);
    }
    size_t slots = 0;
    for (const int64_t length : lengths) slots += static_cast<size_t>(length - 1);
    EXPECT_EQ(seen.size(), slots);
    for (const auto& [slot, times] : seen) EXPECT_EQ(times, 1);
  }
}

TEST(Packing, LongestFirstIntoTheRowWithTheLeastRoom) {
  const std::vector<int64_t> lengths = {4, 9, 7, 11, 3};  // slots 3, 8, 6, 10, 2 in rows of 10
  const Rows rows = PackBlock(lengths, {10, PackMode::kSeparate});
  ASSERT_EQ(rows.size(), 3);
  EXPECT_EQ(rows[0][0], (Piece{3, 0, 10}));
  EXPECT_EQ(rows[1][0], (Piece{1, 0, 8}));
  EXPECT_EQ(rows[1][1], (Piece{4, 0, 2}));  // exactly full, though row 2 had been begun
  EXPECT_EQ(rows[2][0], (Piece{2, 0, 6}));
  EXPECT_EQ(rows[2][1], (Piece{0, 0, 3}));
}

TEST(Packing, ConcatIsOneStreamCutIntoRows) {
  const std::vector<int64_t> lengths = {3, 100, 2, 65};  // 170 tokens, 169 slots
  for (const int64_t seq_len : {1, 13, 169, 500}) {
    const Packing packing = {seq_len, PackMode::kConcat};
    const Rows rows = PackBlock(lengths, packing);
    EXPECT_EQ(CountRows(lengths, packing), rows.size());
    EXPECT_EQ(rows.size(), (169 + seq_len - 1) / seq_len);
    int64_t slot = 0;
    for (int64_t row = 0; row < rows.size(); ++row) {
      ASSERT_EQ(rows[row].size(), 1u);
      EXPECT_EQ(rows[row][0], (Piece{0, slot, std::min(seq_len, 169 - slot)}));
      slot += rows[row][0].slots;
    }
    EXPECT_EQ(slot, 169);
  }
}

std::vector<ShardReader> ReadersOf(const fs::path& directory) {
  const Dataset dataset = Dataset::Open(directory);
  std::vector<ShardReader> readers;
  for (const ShardEntry& entry : dataset.ShardsOf("train")) {
    readers.emplace_back(directory, entry, dataset.vocab_size());
  }
  return readers;
}

TEST(Windows, HoldAFewMebibytesAndStayWhenShardsAreAppended) {
  const testing::TemporaryDirectory directory;
  const testing::SyntheticData data = {2, 3500, 7000};  // 49 MB a shard
  testing::MakeSyntheticDataset(directory / "set", data);
  const std::vector<ShardReader> readers = ReadersOf(directory / "set");
  const Packing packing = {512, PackMode::kSeparate};
  const PackingTable both = OpenPackingTable(directory / "set", readers, packing);
  const std::vector<ShardWindow> first = WindowsOf(readers[0], &packing);
  ASSERT_GE(first.size(), 3u);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(both[i], (SplitWindow{0, first[i]}));
    EXPECT_EQ(first[i].first % kBlockInteractions, 0);
    const StoredRun run = readers[0].ReadRun(first[i].first, first[i].count);
    EXPECT_LT(run.tokens * 2, kWindowBytes + kBlockInteractions * 14000 * 2);
    const bool last = i + 1 == first.size();
    EXPECT_TRUE(last || run.tokens * 2 > kWindowBytes * 9 / 10) << run.tokens;
  }
}

int64_t BytesReadByThisProcess() {
  std::ifstream io("/proc/self/io");
  std::string name;
  int64_t value = 0;
  io >> name >> value;
  EXPECT_EQ(name, "rchar:");
  return value;
}

TEST(Windows, AnEpochReadsEveryByteAboutOnce) {
  const testing::TemporaryDirectory directory;
  testing::MakeSyntheticDataset(directory / "set", {1, 8000, 7000});  // 7 windows, two groups
  const Dataset dataset = Dataset::Open(directory / "set");
  StreamOptions options;
  options.packing.seq_len = 4096;
  const SampleStream stream(dataset, "train", options);
  const int64_t before = BytesReadByThisProcess();
  for (int64_t n = 0; n < stream.samples_per_epoch(); ++n) stream.Read({static_cast<uint64_t>(n)});
  const int64_t read = BytesReadByThisProcess() - before;
  const int64_t tokens = dataset.shards()[0].tokens * 2;
  EXPECT_GE(read, tokens);
  EXPECT_LE(static_cast<double>(read), 1.6 * static_cast<double>(tokens));
}

class KeptTable : public ::testing::Test {
 protected:
  KeptTable() {
    testing::MakeSyntheticDataset(directory_ / "set", {3, 500, 200});
    readers_ = ReadersOf(directory_ / "set");
    expected_ = Open({256, PackMode::kSeparate}, 1 << 20);
  }
  PackingTable Open(const Packing& packing, int64_t keep_from = 0) const {
    return OpenPackingTable(directory_ / "set", readers_, packing, keep_from);
  }
  fs::path PathOf(const Packing& packing) const {
    return PackingTablePath(directory_ / "set", readers_, packing);
  }

  testing::TemporaryDirectory directory_;
  std::vector<ShardReader> readers_;
  const Packing packing_ = {256, PackMode::kSeparate};
  PackingTable expected_;
};

TEST_F(KeptTable, IsWrittenOnceAndReadAgain) {
  EXPECT_FALSE(fs::exists(PathOf(packing_)));  // too small to be kept by default
  EXPECT_EQ(Open(packing_), expected_);
  ASSERT_TRUE(fs::exists(PathOf(packing_)));
  const int64_t before = BytesReadByThisProcess();
  EXPECT_EQ(Open(packing_), expected_);
  EXPECT_LT(BytesReadByThisProcess() - before, 4096);  // no shard was read
  EXPECT_NE(PathOf({128, PackMode::kSeparate}), PathOf(packing_));
  EXPECT_NE(PathOf({256, PackMode::kConcat}), PathOf(packing_));
}

TEST_F(KeptTable, EveryFlippedByteAndEveryCutIsNoticed) {
  Open(packing_);
  const std::string good = core::ReadWholeFile(PathOf(packing_));
  for (size_t at = 0; at < good.size(); at += 3) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 4);
    WriteText(PathOf(packing_), bad);
    ASSERT_EQ(Open(packing_), expected_) << "byte " << at;
    ASSERT_EQ(core::ReadWholeFile(PathOf(packing_)), good);  // written anew
  }
  for (const size_t size : {size_t{0}, size_t{10}, good.size() - 1}) {
    WriteText(PathOf(packing_), good.substr(0, size));
    EXPECT_EQ(Open(packing_), expected_);
  }
}

TEST_F(KeptTable, OneOfAnotherPackingIsNotBelieved) {
  Open({128, PackMode::kSeparate});
  fs::copy_file(PathOf({128, PackMode::kSeparate}), PathOf(packing_));
  EXPECT_EQ(Open(packing_), expected_);
}

TEST_F(KeptTable, IsDoneWithoutWhereNothingCanBeWritten) {
  WriteText(directory_ / "set" / "packing", "in the way");
  EXPECT_EQ(Open(packing_), expected_);
  EXPECT_EQ(core::ReadWholeFile(directory_ / "set" / "packing"), "in the way");
}

}  // namespace
}  // namespace moat::data
