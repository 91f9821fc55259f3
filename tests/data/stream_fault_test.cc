// What goes wrong with shards before and while they are streamed: always an error that names the
// file, never a hang, a crash or other samples.
#include <hdf5.h>
#include <sys/stat.h>

#include <fstream>
#include <numeric>
#include <thread>

#include "data/index.h"
#include "data/sample_stream.h"
#include "data/verify.h"
#include "tests/data/fixture.h"
#include "tests/support/synthetic_dataset.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

// Reads two epochs; the sum of their hashes.
uint64_t StreamAll(const fs::path& directory) {
  const SampleStream stream(Dataset::Open(directory), "train", {{64, PackMode::kSeparate}});
  std::vector<uint64_t> numbers(2 * static_cast<size_t>(stream.samples_per_epoch()));
  std::iota(numbers.begin(), numbers.end(), 0);
  return stream.Read(numbers).content_hash;
}

void FlipByte(const fs::path& path, int64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(offset);
  const char old = static_cast<char>(file.get());
  file.seekp(offset);
  file.put(static_cast<char>(old ^ 0x20));
  ASSERT_TRUE(file.good());
}

class StreamFault : public ::testing::Test {
 protected:
  StreamFault() { expected_ = StreamAll(set_.path()); }

  ShardEntry entry(size_t shard = 0) const { return Dataset::Open(set_.path()).shards()[shard]; }
  fs::path shard_path(size_t shard = 0) const { return set_.path() / entry(shard).file; }

  // Streaming fails with 65 and names the shard.
  std::string Refused() const {
    const std::string error = ErrorOf(core::ExitCode::kData, [&] { StreamAll(set_.path()); });
    EXPECT_TRUE(Contains(error, entry().file)) << error;
    return error;
  }

  const CoffeeSet set_{60, 4000};  // several shards
  uint64_t expected_ = 0;
};

TEST_F(StreamFault, ShardsThatAreNoShards) {
  const std::string good = core::ReadWholeFile(shard_path());
  for (const size_t size : {size_t{0}, size_t{1}, good.size() / 2, good.size() - 1}) {
    WriteText(shard_path(), good.substr(0, size));
    EXPECT_TRUE(Contains(Refused(), "found " + std::to_string(size)));
    ErrorOf(core::ExitCode::kData, [&] { Verify(set_.path()); });
  }
  WriteText(shard_path(), std::string(good.size(), 'x'));  // the size is right
  EXPECT_TRUE(Contains(Refused(), "CRC32C"));
  WriteText(shard_path(), std::string(good.size() + 5, 'x'));
  Refused();
  fs::remove(shard_path());
  EXPECT_TRUE(Contains(Refused(), "found no file"));
  fs::create_directory(shard_path());
  ErrorOf(core::ExitCode::kStorage, [&] { StreamAll(set_.path()); });
  fs::remove(shard_path());
  WriteText(shard_path(), good);
  EXPECT_EQ(StreamAll(set_.path()), expected_);
}

// The stream reads five of the nine datasets; verification reads all, and the stored CRCs.
TEST_F(StreamFault, AFlippedByteInAnyDatasetOrItsCrcs) {
  for (const StoredArray& array : entry().arrays) {
    const auto kind = static_cast<shard::Array>(&array - entry().arrays.data());
    FlipByte(shard_path(), array.offset);
    const std::string error = ErrorOf(core::ExitCode::kData, [&] { Verify(set_.path()); });
    EXPECT_TRUE(Contains(error, "dataset " + array.name + ", row 0")) << error;
    const bool streamed = array.name != "id" && array.name != "user" && array.name != "time" &&
                          array.name != "request";
    if (streamed) {
      EXPECT_TRUE(Contains(Refused(), "dataset " + array.name + ", row 0")) << kind;
    } else {
      EXPECT_EQ(StreamAll(set_.path()), expected_) << array.name;
    }
    FlipByte(shard_path(), array.offset);

    const std::string bytes = core::ReadWholeFile(shard_path());
    const std::string crc(reinterpret_cast<const char*>(array.crc32c.data()), 4);
    const auto at = static_cast<int64_t>(bytes.find(crc));
    ASSERT_NE(at, -1);
    FlipByte(shard_path(), at);
    const std::string in_crc = ErrorOf(core::ExitCode::kData, [&] { Verify(set_.path()); });
    EXPECT_TRUE(Contains(in_crc, "dataset crc32c/")) << in_crc;  // two may be equal
    FlipByte(shard_path(), at);
  }
  EXPECT_EQ(Verify(set_.path()).interactions, 60);
}

TEST_F(StreamFault, ShardsThatChangedPlaces) {
  const testing::TemporaryDirectory directory;  // two shards of one size
  testing::MakeSyntheticDataset(directory / "set", {1, 100, 20, 64, 1});
  testing::MakeSyntheticDataset(directory / "other", {1, 100, 20, 64, 2});
  Index index = ReadIndex(directory / "set");
  const fs::path one = directory / "set" / index.shards[0].file;
  StreamAll(directory / "set");
  fs::rename(directory / "other" / index.shards[0].file, one);
  ErrorOf(core::ExitCode::kData, [&] { StreamAll(directory / "set"); });
  fs::rename(shard_path(0), set_.path() / "aside");
  fs::rename(shard_path(1), shard_path(0));
  fs::rename(set_.path() / "aside", shard_path(1));
  Refused();
  ErrorOf(core::ExitCode::kData, [&] { Verify(set_.path()); });
}

TEST_F(StreamFault, DeletedWhileInUseIsReadToTheEnd) {
  const SampleStream stream(Dataset::Open(set_.path()), "train", {{64, PackMode::kSeparate}});
  fs::remove_all(set_.path());
  std::vector<uint64_t> numbers(2 * static_cast<size_t>(stream.samples_per_epoch()));
  std::iota(numbers.begin(), numbers.end(), 0);
  EXPECT_EQ(stream.Read(numbers).content_hash, expected_);
}

TEST_F(StreamFault, ReadOnlyDirectoriesAreFineAndStayUntouched) {
  const auto mode = [&](mode_t directories, mode_t files) {
    for (const auto& item : fs::recursive_directory_iterator(set_.path())) {
      chmod(item.path().c_str(), item.is_directory() ? directories : files);
    }
    chmod(set_.path().c_str(), directories);
  };
  mode(0555, 0444);
  EXPECT_EQ(StreamAll(set_.path()), expected_);
  EXPECT_EQ(Verify(set_.path()).interactions, 60);
  EXPECT_FALSE(fs::exists(set_.path() / "packing"));
  mode(0755, 0644);
}

TEST_F(StreamFault, AnIndexOfImpossibleShardsIsRefused) {
  const Index good = ReadIndex(set_.path());
  const auto refused = [&](const std::function<void(ShardEntry*)>& change) {
    Index index = good;
    change(&index.shards[0]);
    WriteIndex(set_.path(), index);
    const std::string error = ErrorOf(core::ExitCode::kData, [&] { StreamAll(set_.path()); });
    EXPECT_TRUE(Contains(error, index.shards[0].file)) << error;
  };
  refused([](ShardEntry* shard) { shard->interactions = 0; });  // an empty shard
  refused([](ShardEntry* shard) { shard->tokens = 0; });
  refused([](ShardEntry* shard) { shard->arrays.pop_back(); });  // a missing dataset
  refused([](ShardEntry* shard) { shard->arrays[shard::kUser].name = "uses"; });
  refused([](ShardEntry* shard) { shard->arrays[shard::kTokens].dtype = "i64"; });
  refused([](ShardEntry* shard) { --shard->arrays[shard::kTokens].count; });
  refused([](ShardEntry* shard) { shard->arrays[shard::kTokens].offset = -1; });
  refused([](ShardEntry* shard) { shard->arrays[shard::kTokens].crc32c.clear(); });
  refused([](ShardEntry* shard) { shard->tokens = shard->segments = int64_t{1} << 60; });
}

// Removes or replaces a dataset inside the HDF5 file; the data itself stays where the index says.
void Relink(const fs::path& path, const char* name, hid_t new_type, hsize_t new_count) {
  const hid_t file = H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
  ASSERT_GE(file, 0);
  H5Lmove(file, name, file, "elsewhere", H5P_DEFAULT, H5P_DEFAULT);
  if (new_count > 0) {
    const hid_t space = H5Screate_simple(1, &new_count, nullptr);
    H5Dclose(H5Dcreate2(file, name, new_type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
  }
  H5Fclose(file);
}

TEST_F(StreamFault, VerifyComparesWithWhatHdf5Says) {
  const std::string good = core::ReadWholeFile(shard_path());
  const Index index = ReadIndex(set_.path());
  const auto count = static_cast<hsize_t>(entry().interactions);
  const auto refused = [&](hid_t type, hsize_t new_count, const std::string& what) {
    Relink(shard_path(), "user", type, new_count);
    Index changed = index;
    changed.shards[0].bytes = static_cast<int64_t>(fs::file_size(shard_path()));
    WriteIndex(set_.path(), changed);
    const std::string error = ErrorOf(core::ExitCode::kData, [&] { Verify(set_.path()); });
    EXPECT_TRUE(Contains(error, what)) << error;
    EXPECT_TRUE(Contains(error, entry().file)) << error;
    EXPECT_EQ(StreamAll(set_.path()), expected_);  // its bytes are still what the index says
    WriteText(shard_path(), good);
  };
  refused(H5T_STD_U64LE, 0, "no dataset user");
  refused(H5T_STD_I64LE, count, "dataset user is not of type u64");
  refused(H5T_STD_U64LE, count + 1, "dataset user has another shape");
  refused(H5T_STD_U64LE, count, "dataset user is not at its address");
}

// Writes every dataset again, compressed, as h5repack --filter=GZIP=6 would.
void Compress(const fs::path& from, const fs::path& to, const ShardEntry& entry) {
  const hid_t in = H5Fopen(from.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT);
  const hid_t out = H5Fcreate(to.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  H5Ocopy(in, "crc32c", out, "crc32c", H5P_DEFAULT, H5P_DEFAULT);
  for (unsigned i = 0; i < 9; ++i) {
    const hid_t attribute =
        H5Aopen_by_idx(in, ".", H5_INDEX_NAME, H5_ITER_INC, i, H5P_DEFAULT, H5P_DEFAULT);
    const hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    char name[64], value[128];
    H5Aget_name(attribute, sizeof name, name);
    H5Aread(attribute, type, value);
    const hid_t copy = H5Acreate2(out, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(copy, type, value);
    for (const hid_t id : {attribute, copy}) H5Aclose(id);
    H5Tclose(type);
    H5Sclose(space);
  }
  for (const StoredArray& array : entry.arrays) {
    const hid_t source = H5Dopen2(in, array.name.c_str(), H5P_DEFAULT);
    const hid_t type = H5Dget_type(source), space = H5Dget_space(source);
    std::vector<char> bytes(static_cast<size_t>(array.count) * H5Tget_size(type));
    H5Dread(source, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data());
    const hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    const auto chunk = static_cast<hsize_t>(std::min<int64_t>(array.count, 100));
    H5Pset_chunk(properties, 1, &chunk);
    H5Pset_deflate(properties, 6);
    const hid_t copy =
        H5Dcreate2(out, array.name.c_str(), type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    ASSERT_GE(H5Dwrite(copy, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()), 0);
    for (const hid_t id : {source, copy}) H5Dclose(id);
    H5Tclose(type);
    H5Sclose(space);
    H5Pclose(properties);
  }
  H5Fclose(in);
  ASSERT_GE(H5Fclose(out), 0);
}

TEST_F(StreamFault, ShardsRewrittenWithCompressionGiveTheSameSamples) {
  Compress(shard_path(), set_.path() / "packed.h5", entry());
  const std::string good = core::ReadWholeFile(shard_path());
  fs::rename(set_.path() / "packed.h5", shard_path());
  ASSERT_NE(fs::file_size(shard_path()), good.size());
  EXPECT_EQ(StreamAll(set_.path()), expected_);
  EXPECT_EQ(Verify(set_.path()).rewritten, 1);
  std::vector<std::jthread> readers;  // HDF5 has one lock
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] { EXPECT_EQ(StreamAll(set_.path()), expected_); });
  }
  readers.clear();
  // Rewritten from other data: counts and digests would have to agree.
  Compress(shard_path(), set_.path() / "packed.h5", entry());
  fs::rename(set_.path() / "packed.h5", shard_path(1));
  ErrorOf(core::ExitCode::kData, [&] { Verify(set_.path()); });
}

TEST(StreamOfLittle, OneSampleServesAnyBatch) {
  const testing::TemporaryDirectory directory;
  testing::MakeSyntheticDataset(directory / "set", {1, 1, 6});
  const SampleStream stream(Dataset::Open(directory / "set"), "train",
                            {{4096, PackMode::kSeparate}});
  EXPECT_EQ(stream.samples_per_epoch(), 1);
  const Batch batch = stream.Read({0, 1, 2, 3});  // four epochs
  for (int64_t row = 1; row < 4; ++row) {
    EXPECT_TRUE(std::equal(batch.tokens.begin(), batch.tokens.begin() + 4096,
                           batch.tokens.begin() + row * 4096));
  }
}

TEST(StreamOfLittle, OneGiantInteractionIsCutIntoRows) {
  const testing::TemporaryDirectory directory;
  const Index index = testing::MakeSyntheticDataset(directory / "set", {1, 1, 12'000'000});
  const SampleStream stream(Dataset::Open(directory / "set"), "train",
                            {{1024, PackMode::kSeparate}});
  EXPECT_EQ(stream.samples_per_epoch(), (index.shards[0].tokens - 1 + 1023) / 1024);
  const auto last = static_cast<uint64_t>(stream.samples_per_epoch() - 1);
  const Batch batch = stream.ReadInOrder({0, last});
  EXPECT_EQ(batch.tokens[0], 1);
  EXPECT_EQ(batch.targets[1023], stream.ReadInOrder({1}).tokens[0]);
}

}  // namespace
}  // namespace moat::data
