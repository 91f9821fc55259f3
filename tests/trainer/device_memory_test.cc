// Ranks whose devices are too small are told before anything is allocated; a CPU has no such
// memory.
#include "trainer/device_memory.h"

#include <gtest/gtest.h>

#include "comm/threads.h"
#include "core/error.h"
#include "tests/model/small_plan.h"

namespace moat::trainer {
namespace {

using testing::Needed;
using testing::OnGpu;
using testing::Small;

// What ranks throw that see so much free on their devices, by rank; "" where all fits.
std::vector<std::string> RefusalsOf(const std::vector<DeviceRoom>& rooms, int ranks_per_node,
                                    int failed) {
  std::vector<std::string> said(rooms.size());
  comm::ThreadGroup::Run(
      static_cast<int>(rooms.size()),
      [&](comm::Communicator& world) {
        const auto rank = static_cast<size_t>(world.rank());
        try {
          CheckFits(Small(), OnGpu(1), rooms[rank], world);
        } catch (const core::OutOfMemoryError& error) {
          said[rank] = error.what();
          EXPECT_EQ(error.failed().value_or(core::FailedRank{world.rank(), ""}).rank, failed);
        }
      },
      comm::kDefaultDeadlineSeconds, ranks_per_node);
  return said;
}

TEST(DeviceMemory, ARankWhoseDeviceIsTooSmallIsNamedOnAllRanks) {
  const core::Bytes enough = Needed(OnGpu(1)), little(enough.value - 1);
  const auto said = RefusalsOf({{"A", {0}, enough}, {"B", {1}, little}, {"C", {2}, enough}}, 1, 1);
  EXPECT_NE(std::string::npos, said[0].find("the tensors of rank 1 need ")) << said[0];
  EXPECT_NE(std::string::npos, said[0].find(" on its device, B, which has ")) << said[0];
  EXPECT_EQ(said[1], said[0]);
  EXPECT_EQ(said[2], said[0]);
}

TEST(DeviceMemory, RanksOfADeviceShareWhatIsFreeWhenTheLastOneHasLooked) {
  const int64_t both = 2 * Needed(OnGpu(1)).value;
  const core::Bytes early(both + 1000), enough(both), little(both - 1);
  const std::vector<std::string> nothing(3);
  EXPECT_EQ(RefusalsOf({{"A", {0, 1}, early}, {"A", {0, 1}, enough}, {"B", {2}, early}}, 3, -1),
            nothing);
  const auto said =
      RefusalsOf({{"B", {0}, early}, {"A", {1, 2}, early}, {"A", {1, 2}, little}}, 3, 1);
  EXPECT_NE(std::string::npos, said[0].find(" free for each of the 2 ranks on it: ")) << said[0];
  EXPECT_EQ(said[2], said[0]);
}

TEST(DeviceMemory, OfACpuIsNotTold) {
  DeviceMemory memory(core::DeviceKind::kCpu);
  EXPECT_EQ(memory.room().value, 0);
  EXPECT_EQ(memory.Peak().value, 0);
}

}  // namespace
}  // namespace moat::trainer
