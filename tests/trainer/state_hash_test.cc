// The state hash depends on every bit of the state and on nothing else.
#include "trainer/state_hash.h"

#include <gtest/gtest.h>

#include "comm/self.h"
#include "comm/threads.h"
#include "parallel/optimizer_range.h"
#include "tests/support/values.h"

namespace moat::trainer {
namespace {

using parallel::Slice;

const core::Shape kShapes[] = {{30, 17}, {64}, {3, 5, 7}};

struct State {
  std::vector<std::vector<float>> values;
  State() {
    for (const core::Shape& shape : kShapes) {
      values.push_back(testing::RandomValues("v" + shape.text(), shape.elements()));
    }
  }
};

// The hash of the state when it is cut over `ranks`.
uint64_t Hash(const State& state, int ranks) {
  std::vector<Slice> whole;
  int64_t elements = 0;
  for (const core::Shape& shape : kShapes) {
    whole.push_back(Slice::Whole(shape));
    elements += shape.elements();
  }
  uint64_t hash = 0;
  comm::ThreadGroup::Run(ranks, [&](comm::Communicator& world) {
    std::vector<std::vector<float>> memory;
    std::vector<checkpoint::SliceToSave> mine;
    for (const auto& part : OptimizerRange(whole, {elements, ranks, 8, 100}, world.rank())) {
      const auto p = static_cast<size_t>(part.parameter);
      for (const Slice& box : part.slices) {
        memory.emplace_back(static_cast<size_t>(box.elements()));
        CopySlice(box, whole[p], state.values[p].data(), box, memory.back().data(), sizeof(float));
        mine.push_back({"t" + std::to_string(p), kShapes[p], box,
                        tensor::HostView(std::as_const(memory.back()).data(), box.elements())});
      }
    }
    const uint64_t mine_hash = StateHash(mine, world);
    if (world.rank() == 0) hash = mine_hash;
  });
  return hash;
}

TEST(StateHash, IsTheSameHoweverTheStateIsCut) {
  const State state;
  const uint64_t one = Hash(state, 1);
  for (const int ranks : {2, 3, 5}) EXPECT_EQ(Hash(state, ranks), one);
}

TEST(StateHash, ChangesWithEveryBitAndPlace) {
  const State state;
  const uint64_t one = Hash(state, 2);
  State flipped;
  reinterpret_cast<uint32_t&>(flipped.values[2][104]) ^= 1;
  EXPECT_NE(Hash(flipped, 2), one);
  State swapped;
  std::swap(swapped.values[0][20], swapped.values[0][40]);
  EXPECT_NE(Hash(swapped, 2), one);
}

}  // namespace
}  // namespace moat::trainer
