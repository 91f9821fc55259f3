// Shards and the index: what goes in comes out, and every byte that changes is noticed.
#include <hdf5.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/crc32c.h"
#include "data/dataset.h"
#include "data/dataset_walk.h"
#include "data/index.h"
#include "data/shard_reader.h"
#include "data/shard_writer.h"
#include "data/show.h"
#include "data/verify.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

void Flip(const fs::path& path, int64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(offset);
  const char old = static_cast<char>(file.get());
  file.seekp(offset);
  file.put(static_cast<char>(old ^ 0x10));
  ASSERT_TRUE(file.good());
}

void ReadAll(const Dataset& dataset, const ShardEntry& entry) {
  const ShardReader reader(dataset.directory(), entry, dataset.vocab_size());
  reader.ReadInteractions(0, entry.interactions);
  reader.ReadKeys(0, entry.interactions);
}

int64_t BytesOf(const StoredArray& array) {
  return array.count * core::SizeOf(core::ParseDType(array.dtype));
}

TEST(Shard, RoundTripsTextRolesAndWeights) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "in.jsonl",
            R"({"messages": [{"role": "system", "content": "be\tkind\u0000 "},)"
            R"({"role": "user", "content": "▁ hi"},)"
            R"({"role": "assistant", "content": "one"}, {"role": "tool", "content": ""},)"
            R"({"role": "assistant", "content": "two"}], "weight": 0.25, "user": "u", "time": 1.5})"
            "\n");
  const ImportReport report = Import(ImportOf(directory / "in.jsonl", directory / "set"));
  EXPECT_EQ(report.train.interactions, 1);
  EXPECT_EQ(report.validation.interactions, 0);
  const Dataset dataset = Dataset::Open(directory / "set");
  StoredKeys keys;
  const StoredInteractions one = ReadOne(dataset, "train", 0, &keys);
  EXPECT_EQ(one.weight, (std::vector<float>{1, 1, 0, 1, 0.25f}));
  EXPECT_EQ(one.role[4], Role::kAssistant);
  EXPECT_EQ(keys.time[0], 1'500'000);
  EXPECT_NE(keys.user[0], keys.id[0]);
  const std::string text = Show(dataset, "train", 0, false);
  EXPECT_TRUE(Contains(text, std::string("-- system, weight 1\nbe\tkind\0 \n", 30))) << text;
  EXPECT_TRUE(Contains(text, "▁ hi\n-- assistant, weight 0\none\n-- tool, weight 1\n\n"));
  ErrorOf(core::ExitCode::kConfig, [&] { Show(dataset, "train", 1, false); });
}

TEST(Shard, IsPlainHdf5) {
  const CoffeeSet set(30);
  const Dataset dataset = Dataset::Open(set.path());
  const ShardEntry entry = dataset.ShardsOf("train")[0];
  const hid_t file = H5Fopen((set.path() / entry.file).c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  uint64_t interactions = 0;
  const hid_t attribute = H5Aopen(file, "interactions", H5P_DEFAULT);
  H5Aread(attribute, H5T_NATIVE_UINT64, &interactions);
  EXPECT_EQ(interactions, static_cast<uint64_t>(entry.interactions));
  std::vector<uint16_t> tokens(static_cast<size_t>(entry.tokens));
  const hid_t data = H5Dopen2(file, "tokens", H5P_DEFAULT);
  ASSERT_GE(H5Dread(data, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, tokens.data()), 0);
  const StoredInteractions all =
      ShardReader(set.path(), entry, dataset.vocab_size()).ReadInteractions(0, entry.interactions);
  EXPECT_EQ(std::vector<int32_t>(tokens.begin(), tokens.end()), all.tokens);
  H5Dclose(data);
  H5Aclose(attribute);
  H5Fclose(file);
}

TEST(Shard, EveryFlippedRegionIsFoundAndNamed) {
  const CoffeeSet set(40);
  const Dataset dataset = Dataset::Open(set.path());
  const ShardEntry entry = dataset.ShardsOf("train")[0];
  const fs::path path = set.path() / entry.file;
  EXPECT_NO_THROW(ReadAll(dataset, entry));
  for (const StoredArray& array : entry.arrays) {
    for (const int64_t at : {int64_t{0}, BytesOf(array) / 2, BytesOf(array) - 1}) {
      Flip(path, array.offset + at);
      const std::string error = ErrorOf(core::ExitCode::kData, [&] { ReadAll(dataset, entry); });
      EXPECT_TRUE(Contains(error, "dataset " + array.name + ", row")) << error;
      EXPECT_TRUE(Contains(error, entry.file)) << error;
      ErrorOf(core::ExitCode::kData, [&] { Verify(set.path()); });
      Flip(path, array.offset + at);
    }
  }
  EXPECT_EQ(Verify(set.path()).interactions, 40);
}

TEST(Shard, VerifyFindsFlipsInAttributesAndStoredCrcs) {
  const CoffeeSet set(30);
  const Dataset dataset = Dataset::Open(set.path());
  const ShardEntry entry = dataset.ShardsOf("train")[0];
  const fs::path path = set.path() / entry.file;
  const std::string bytes = core::ReadWholeFile(path);
  const uint32_t crc = entry.arrays[0].crc32c[0];
  for (const std::string& needle :
       {entry.content_digest, dataset.tokenizer_digest(), dataset.template_digest(),
        std::string("moat.interactions"), std::string(reinterpret_cast<const char*>(&crc), 4)}) {
    const size_t at = bytes.find(needle);
    ASSERT_NE(at, std::string::npos);
    Flip(path, static_cast<int64_t>(at));
    ErrorOf(core::ExitCode::kData, [&] { Verify(set.path()); });
    Flip(path, static_cast<int64_t>(at));
  }
}

TEST(Shard, TruncatedFileIsRefused) {
  const CoffeeSet set(30);
  const Dataset dataset = Dataset::Open(set.path());
  const ShardEntry entry = dataset.ShardsOf("train")[0];
  fs::resize_file(set.path() / entry.file, static_cast<uintmax_t>(entry.bytes - 1));
  const std::string error = ErrorOf(core::ExitCode::kData, [&] { ReadAll(dataset, entry); });
  EXPECT_TRUE(Contains(error, "expected " + std::to_string(entry.bytes) + " bytes")) << error;
}

// Writes `value` over row `row` of an array and mends its CRC: a shard made by a hostile writer.
template <typename T>
ShardEntry Forged(const fs::path& root, ShardEntry entry, shard::Array array, int64_t row,
                  T value) {
  StoredArray& stored = entry.arrays[array];
  std::string bytes = core::ReadWholeFile(root / entry.file);
  std::copy_n(reinterpret_cast<const char*>(&value), sizeof value,
              bytes.begin() + stored.offset + row * static_cast<int64_t>(sizeof value));
  stored.crc32c[0] =
      core::Crc32c(bytes.data() + stored.offset, static_cast<size_t>(BytesOf(stored)));
  WriteText(root / entry.file, bytes);
  return entry;
}

TEST(Shard, ValuesOutOfRangeAreRefusedWithTheirRow) {
  const CoffeeSet set(20);
  const Dataset dataset = Dataset::Open(set.path());
  const ShardEntry entry = dataset.ShardsOf("train")[0];
  const std::string original = core::ReadWholeFile(set.path() / entry.file);
  const auto refuse = [&](const ShardEntry& forged, const std::string& what) {
    const std::string error = ErrorOf(core::ExitCode::kData, [&] { ReadAll(dataset, forged); });
    EXPECT_TRUE(Contains(error, what)) << error;
    WriteText(set.path() / entry.file, original);
  };
  const fs::path root = set.path();
  refuse(Forged(root, entry, shard::kTokens, 7, uint16_t{65535}),
         "dataset tokens, row 7: token 65535 is outside the vocabulary");
  refuse(Forged(root, entry, shard::kSegmentRole, 3, uint8_t{5}), "segment_role, row 3");
  refuse(Forged(root, entry, shard::kSegmentWeight, 2, std::numeric_limits<float>::quiet_NaN()),
         "segment_weight, row 2");
  refuse(Forged(root, entry, shard::kSegmentWeight, 2, -1.0f), "segment_weight, row 2");
  refuse(Forged(root, entry, shard::kSegmentStart, 4, uint64_t{1} << 60), "segment_start, row 4");
  refuse(Forged(root, entry, shard::kSegmentStart, 4, uint64_t{0}), "segment_start, row 4");
  refuse(Forged(root, entry, shard::kSegmentStart, 0, uint64_t{1}), "segment_start, row 0");
  refuse(Forged(root, entry, shard::kFirstSegment, 2, uint64_t{0}), "first_segment, row 2");
  refuse(Forged(root, entry, shard::kFirstSegment, entry.interactions, uint64_t{3}),
         "first_segment, row");
}

// A limit on the size of files stands in for a full disk.
TEST(Shard, DiskFullWhileSealingLeavesNoFile) {
  const testing::TemporaryDirectory directory;
  const auto seal_with_limit = [&] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{50000, 50000};
    setrlimit(RLIMIT_FSIZE, &limit);
    ShardWriter writer({600, "digest", "digest"});
    Interaction interaction;
    interaction.segments = {{Role::kText, 1, ""}};
    writer.Add(interaction, {std::vector<int32_t>(100000, 9), {0}}, {1, 1, 0});
    int code = 0;
    try {
      writer.Seal(directory.path(), "shards/full.h5", "train");
    } catch (const core::Error& error) {
      code = static_cast<int>(error.code());
    }
    _exit(code);
  };
  EXPECT_EXIT(seal_with_limit(), ::testing::ExitedWithCode(74), "");
  EXPECT_TRUE(fs::is_empty(directory / "shards"));
}

TEST(Index, EveryChangeIsNoticed) {
  const CoffeeSet set(20);
  const std::string text = core::ReadWholeFile(set.path() / kIndexFile);
  for (size_t at = 0; at < text.size(); at += 37) {
    if (std::isspace(static_cast<unsigned char>(text[at]))) continue;
    std::string changed = text;
    changed[at] = changed[at] == '7' ? '8' : '7';
    WriteText(set.path() / kIndexFile, changed);
    ErrorOf(core::ExitCode::kData, [&] { Dataset::Open(set.path()); });
  }
  const std::string error =
      ErrorOf(core::ExitCode::kConfig, [&] { Dataset::Open(set.root() / "nowhere"); });
  EXPECT_TRUE(Contains(error, "moat data import")) << error;
}

TEST(Index, AddressesOutsideTheFileAreRefused) {
  const CoffeeSet set(20);
  Index index = ReadIndex(set.path());
  index.shards[0].arrays[0].offset = index.shards[0].bytes - 1;
  WriteIndex(set.path(), index);
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kData, [&] { Dataset::Open(set.path()); }),
                       "lies outside the file"));
  index = {};
  WriteIndex(set.path(), index);
  ErrorOf(core::ExitCode::kData, [&] { Dataset::Open(set.path()); });
}

TEST(Verify, NoticesAnotherTokenizer) {
  const CoffeeSet set(20);
  const CoffeeSet other(60);
  fs::copy_file(other.path() / "tokenizer.model", set.path() / "tokenizer.model",
                fs::copy_options::overwrite_existing);
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kData, [&] { Verify(set.path()); }),
                       "not the tokenizer that the shards were encoded with"));
}

}  // namespace
}  // namespace moat::data
