// Pieces reach every rank that wants them, read once per node, or all ranks hear why not.
#include "checkpoint/delivery.h"

#include <gtest/gtest.h>

#include <fstream>
#include <mutex>
#include <numeric>

#include "checkpoint/safetensors.h"
#include "comm/threads.h"
#include "core/durable_file.h"
#include "tests/checkpoint/sample_state.h"
#include "tests/support/temporary_directory.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;
using testing::SampleState;

// Bytes that this thread has read from files so far.
int64_t BytesRead() {
  std::ifstream file("/proc/thread-self/io");
  std::string name;
  int64_t value = 0;
  file >> name >> value;
  return name == "rchar:" ? value : -1;
}

class Delivery : public ::testing::Test {
 protected:
  void SetUp() override {
    comm::ThreadGroup::Run(4, [&](comm::Communicator& world) {
      const SampleState state(7, world.rank(), 4);
      Save({root_.path()}, testing::SamplePosition(7), state.ToSave(), world);
    });
    manifest_ = ReadManifest(saved());
  }
  fs::path saved() const { return root_ / "step-00000007"; }
  int64_t FileBytes() const {
    return std::accumulate(manifest_.files.begin(), manifest_.files.end(), int64_t{0},
                           [](int64_t sum, const auto& file) { return sum + file.second.bytes; });
  }

  // Ranks on nodes of two; rank r wants part r % parts of `parts`. By rank: the bytes it read.
  std::vector<int64_t> ExpectDelivered(int ranks, int parts, const FilePlaces& places) {
    std::vector<int64_t> read(static_cast<size_t>(ranks));
    comm::ThreadGroup::Run(
        ranks,
        [&](comm::Communicator& world) {
          SampleState state(7, world.rank() % parts, parts, 11);
          const SampleState expected(7, world.rank() % parts, parts, 11);
          const auto wanted = state.ToLoad();
          const int64_t before = BytesRead();
          Deliver(manifest_, places, wanted, world);
          read[static_cast<size_t>(world.rank())] = BytesRead() - before;
          EXPECT_TRUE(state == expected) << "rank " << world.rank();
        },
        comm::kDefaultDeadlineSeconds, 2);
    return read;
  }

  testing::TemporaryDirectory root_;
  Manifest manifest_;
};

TEST_F(Delivery, ReplicasOfANodeReadEachByteOnceTogether) {
  constexpr int64_t kSlack = 4096;  // headers are read by each that opens a file
  const std::vector<int64_t> read = ExpectDelivered(4, 1, AllIn(saved(), manifest_));
  if (read[0] < 0) GTEST_SKIP() << "/proc/thread-self/io tells nothing here";
  for (const size_t node : {0u, 2u}) {
    EXPECT_LE(read[node] + read[node + 1], FileBytes() + kSlack) << "node of rank " << node;
    EXPECT_GT(read[node], FileBytes() / 4) << "the ranks of a node share the work";
    EXPECT_GT(read[node + 1], FileBytes() / 4);
  }
}

TEST_F(Delivery, EveryRankGetsItsPartWhateverTheCuts) {
  for (const int ranks : {1, 2, 3, 5}) {
    for (const int parts : {1, 2, 3}) ExpectDelivered(ranks, parts, AllIn(saved(), manifest_));
  }
}

TEST_F(Delivery, WhatANodeCannotReadComesFromAnother) {
  // Ranks 2 and 3 have lost all, ranks 4 and 5 never had any; rank 1 alone still has one file.
  FilePlaces places;
  for (const auto& [name, entry] : manifest_.files) places[name] = {saved(), {0, 1}};
  places.begin()->second.readers = {1};
  for (const int parts : {1, 2, 6}) {
    const std::vector<int64_t> read = ExpectDelivered(6, parts, places);
    if (read[0] < 0) continue;
    constexpr int64_t kOfCounting = 1000;
    for (const size_t rank : {2u, 3u, 4u, 5u}) EXPECT_LT(read[rank], kOfCounting) << rank;
  }
}

TEST_F(Delivery, RanksOfANodeWriteOneFileTogether) {
  testing::TemporaryDirectory root;
  for (const int64_t step : {7, 8}) {
    comm::ThreadGroup::Run(
        5,
        [&](comm::Communicator& world) {
          const SampleState state(step, world.rank(), 5);
          SaveOptions options{root.path()};
          options.file_per_node = true;
          Save(options, testing::SamplePosition(step), state.ToSave(), world);
        },
        comm::kDefaultDeadlineSeconds, 2);
  }
  const fs::path together = root / "step-00000007";
  const Manifest manifest = ReadManifest(together);
  std::vector<std::string> names;
  for (const auto& [name, entry] : manifest.files) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"node-00000.safetensors", "node-00002.safetensors",
                                             "node-00004.safetensors"}));
  EXPECT_NO_THROW(Verify(together));
  EXPECT_NO_THROW(Verify(root / "step-00000008"));
  EXPECT_TRUE(testing::HoldsStep(together, 7));
  const SafetensorsFile file = ReadSafetensorsHeader(together / "node-00002.safetensors");
  EXPECT_EQ(file.header.metadata.at("writer"), "2");
  for (const SafetensorsEntry& entry : file.header.entries) {
    EXPECT_EQ((file.header_bytes + entry.begin) % core::SizeOf(entry.dtype), 0) << entry.name;
  }
}

TEST_F(Delivery, DamageIsTheSameErrorOnAllRanksAndTheGroupStaysOfUse) {
  const Piece& piece = manifest_.tensors.at("embed").pieces.back();
  std::string bytes = core::ReadWholeFile(saved() / piece.file);
  bytes[static_cast<size_t>(piece.offset)] ^= 4;
  std::ofstream(saved() / piece.file, std::ios::binary) << bytes;
  std::mutex mutex;
  std::vector<std::string> said;
  comm::ThreadGroup::Run(
      4,
      [&](comm::Communicator& world) {
        SampleState state(7, world.rank() % 2, 2);
        try {
          Deliver(manifest_, AllIn(saved(), manifest_), state.ToLoad(), world);
        } catch (const core::DataError& error) {
          const std::scoped_lock lock(mutex);
          said.emplace_back(error.what());
        }
        world.Barrier();
      },
      comm::kDefaultDeadlineSeconds, 2);
  ASSERT_EQ(said.size(), 4u);
  for (const std::string& text : said) EXPECT_EQ(text, said[0]);
  EXPECT_NE(said[0].find(piece.file + ": the bytes of tensor 'embed'"), std::string::npos)
      << said[0];
}

TEST_F(Delivery, OneRankThatAsksForTheWrongShapeIsHeardByAll) {
  int refused = 0;
  std::mutex mutex;
  comm::ThreadGroup::Run(2, [&](comm::Communicator& world) {
    SampleState state(7, world.rank(), 2);
    auto wanted = state.ToLoad();
    if (world.rank() == 1) wanted[0].global = core::Shape{3};
    EXPECT_THROW(Deliver(manifest_, AllIn(saved(), manifest_), wanted, world), core::DataError);
    const std::scoped_lock lock(mutex);
    ++refused;
  });
  EXPECT_EQ(refused, 2);
}

}  // namespace
}  // namespace moat::checkpoint
