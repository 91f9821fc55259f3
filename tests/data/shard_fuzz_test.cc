// Random damage to a shard and to its index: refused with a typed error, or read back as it was.
//
// The corpus is fixed by seeds. MOAT_FUZZ_ROUNDS=N tries N of each kind instead of the few hundred
// of a test run; tests/run --all runs the Sweep.
#include <cstdlib>
#include <fstream>
#include <numeric>

#include "core/crc32c.h"
#include "core/rng.h"
#include "data/index.h"
#include "data/sample_stream.h"
#include "data/shard_format.h"
#include "data/verify.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

int Rounds(int usual) {
  const char* wanted = std::getenv("MOAT_FUZZ_ROUNDS");
  return wanted ? std::atoi(wanted) : usual;
}

class Draws {
 public:
  explicit Draws(int round) : key_(core::KeyFromName(static_cast<uint64_t>(round), "fuzz")) {}
  size_t Below(size_t limit) { return core::RandomBits(key_, at_++) % limit; }

 private:
  uint64_t key_, at_ = 0;
};

// One to three wounds between `begin` and `end`: flips, overwritten runs, copies of other bytes.
void Damage(Draws* draws, size_t begin, size_t end, std::string* bytes) {
  const size_t size = end - begin;
  for (size_t wounds = 1 + draws->Below(3); wounds > 0; --wounds) {
    const size_t at = begin + draws->Below(size);
    const size_t length = std::min(end - at, 1 + draws->Below(24));
    switch (draws->Below(4)) {
      case 0:
        (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << draws->Below(8)));
        break;
      case 1:
        std::fill_n(bytes->begin() + static_cast<int64_t>(at), length, '\xff');
        break;
      case 2:
        std::fill_n(bytes->begin() + static_cast<int64_t>(at), length, '\0');
        break;
      default: {
        const size_t from = begin + draws->Below(size - length + 1);
        bytes->replace(at, length, bytes->substr(from, length));
      }
    }
  }
}

class Fuzz : public ::testing::Test {
 protected:
  Fuzz() : index_(ReadIndex(set_.path())), shard_(set_.path() / index_.shards[0].file) {
    bytes_ = core::ReadWholeFile(shard_);
    expected_ = Stream();
  }

  uint64_t Stream() const {
    const Dataset dataset = Dataset::Open(set_.path());
    const SampleStream stream(dataset, "train", {{64, PackMode::kSeparate}});
    std::vector<uint64_t> places(static_cast<size_t>(stream.samples_per_epoch()));
    std::iota(places.begin(), places.end(), 0);
    const Batch batch = stream.ReadInOrder(places);
    for (const int32_t token : batch.tokens) EXPECT_LT(token, dataset.vocab_size());
    for (const float weight : batch.weights) EXPECT_GE(weight, 0);
    return batch.content_hash;
  }

  void Write(const std::string& bytes) const {  // no sync: many rounds
    std::ofstream(shard_, std::ios::binary) << bytes;
  }

  // True if `action` was refused. Anything but bad data or a file that ends early fails the test.
  static bool Refused(const std::function<void()>& action) {
    try {
      action();
    } catch (const core::Error& error) {
      EXPECT_TRUE(error.code() == core::ExitCode::kData || error.code() == core::ExitCode::kStorage)
          << error.what();
      return true;
    }
    return false;
  }

  void DamageTheShard(int rounds) {
    int refused = 0;
    for (int round = 0; round < rounds; ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      Draws draws(round);
      std::string bytes = bytes_;
      Damage(&draws, 0, bytes.size(), &bytes);
      if (round % 7 == 0) bytes.resize(draws.Below(bytes.size() + 1));
      Write(bytes);
      uint64_t hash = expected_;
      refused += Refused([&] { hash = Stream(); });
      EXPECT_EQ(hash, expected_);
      if (Refused([&] { Verify(set_.path()); }) || bytes == bytes_) continue;
      EXPECT_EQ(hash, expected_);  // padding, a time stamp: nothing that HDF5 or moat reads
    }
    EXPECT_GT(refused, rounds / 2);  // of most wounds the stream itself notices
  }

  // A hostile writer: damage whose CRCs are right.
  void DamageAndMend(int rounds) {
    int refused = 0;
    for (int round = 0; round < rounds; ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      Draws draws(round);
      Index index = index_;
      StoredArray& array = index.shards[0].arrays[draws.Below(shard::kArrays)];
      const auto begin = static_cast<size_t>(array.offset);
      const auto size =
          static_cast<size_t>(array.count * core::SizeOf(core::ParseDType(array.dtype)));
      std::string bytes = bytes_;
      Damage(&draws, begin, begin + size, &bytes);
      array.crc32c[0] = core::Crc32c(bytes.data() + begin, size);
      Write(bytes);
      WriteIndex(set_.path(), index);
      refused += Refused([&] { Stream(); });
      EXPECT_TRUE(bytes == bytes_ || Refused([&] { Verify(set_.path()); }));
    }
    EXPECT_GT(refused, 0);
    WriteIndex(set_.path(), index_);
  }

  // Numbers of the index, with a right checksum.
  void DamageTheIndex(int rounds) {
    for (int round = 0; round < rounds; ++round) {
      SCOPED_TRACE("round " + std::to_string(round));
      Draws draws(round);
      Index index = index_;
      ShardEntry& entry = index.shards[0];
      StoredArray& array = entry.arrays[draws.Below(shard::kArrays)];
      int64_t* const numbers[] = {&entry.interactions, &entry.segments, &entry.tokens,
                                  &entry.bytes,        &array.count,    &array.offset,
                                  &index.vocab_size};
      int64_t& number = *numbers[draws.Below(std::size(numbers))];
      const int64_t values[] = {0,          -1,         number + 1,      number - 1,
                                number * 2, number / 2, INT64_MAX,       INT64_MIN,
                                1,          1 << 20,    int64_t{1} << 40};
      number = values[draws.Below(std::size(values))];
      WriteIndex(set_.path(), index);
      uint64_t hash = expected_;
      Refused([&] { hash = Stream(); });
      EXPECT_EQ(hash, expected_);
    }
  }

  const CoffeeSet set_{25};
  Index index_;
  fs::path shard_;
  std::string bytes_;
  uint64_t expected_ = 0;
};

TEST_F(Fuzz, DamagedShards) { DamageTheShard(Rounds(300)); }
TEST_F(Fuzz, DamagedShardsWithMendedCrcs) { DamageAndMend(Rounds(150)); }
TEST_F(Fuzz, DamagedNumbersOfTheIndex) { DamageTheIndex(Rounds(150)); }

class FuzzSweep : public Fuzz {};
TEST_F(FuzzSweep, DamagedShards) { DamageTheShard(Rounds(20000)); }
TEST_F(FuzzSweep, DamagedShardsWithMendedCrcs) { DamageAndMend(Rounds(3000)); }

}  // namespace
}  // namespace moat::data
