// All ranks decide together which device they train on.
#include "trainer/device_choice.h"

#include <gtest/gtest.h>

#include <mutex>

#include "comm/threads.h"
#include "core/error.h"

namespace moat::trainer {
namespace {

using Devices = std::vector<tensor::DeviceDescription>;

// What ranks that see these devices choose, on nodes of `ranks_per_node`.
std::vector<DeviceChoice> Choose(const std::string& asked, const std::vector<Devices>& seen,
                                 int ranks_per_node) {
  std::vector<DeviceChoice> choices(seen.size());
  comm::ThreadGroup::Run(
      static_cast<int>(seen.size()),
      [&](comm::Communicator& world) {
        const auto rank = static_cast<size_t>(world.rank());
        choices[rank] = ChooseDevice(asked, seen[rank], world.rank() % ranks_per_node, world);
      },
      comm::kDefaultDeadlineSeconds, ranks_per_node);
  return choices;
}

const tensor::DeviceDescription kA = {"GPU", "a"}, kB = {"GPU", "b"};

TEST(ChooseDevice, EveryRankTakesADeviceOfItsOwnWhereThereAreAsMany) {
  for (const char* const asked : {"auto", "cuda"}) {
    const auto choices = Choose(asked, {{kA, kB}, {kA, kB}, {kA, kB}, {kA, kB}}, 2);
    for (size_t rank = 0; rank < choices.size(); ++rank) {
      EXPECT_EQ(choices[rank].kind, core::DeviceKind::kCuda);
      EXPECT_EQ(choices[rank].index, static_cast<int>(rank % 2));
      EXPECT_FALSE(choices[rank].shared);
      EXPECT_EQ(choices[rank].ranks, std::vector<int>{static_cast<int>(rank)});  // of its node
    }
  }
}

TEST(ChooseDevice, RanksThatAreShownOneDeviceEachDoNotShare) {
  const auto choices = Choose("auto", {{kA}, {kB}}, 2);
  EXPECT_EQ(choices[1].index, 0);
  EXPECT_FALSE(choices[1].shared);
}

TEST(ChooseDevice, MoreRanksThanDevicesShareThem) {
  const auto choices = Choose("auto", {{kA}, {kA}}, 2);
  EXPECT_EQ(choices[1].kind, core::DeviceKind::kCuda);
  EXPECT_TRUE(choices[0].shared && choices[1].shared);
  EXPECT_EQ(choices[1].ranks, (std::vector<int>{0, 1}));
}

TEST(ChooseDevice, AutoIsTheCpuUnlessEveryRankSeesADevice) {
  for (const auto& choice : Choose("auto", {{kA}, {}, {kA}}, 1)) {
    EXPECT_EQ(choice.kind, core::DeviceKind::kCpu);
  }
  EXPECT_EQ(Choose("cpu", {{kA}}, 1)[0].kind, core::DeviceKind::kCpu);
}

TEST(ChooseDevice, CudaIsRefusedOnAllRanksNamingThoseThatSeeNoDevice) {
  std::mutex mutex;
  int refused = 0;
  comm::ThreadGroup::Run(3, [&](comm::Communicator& world) {
    try {
      ChooseDevice("cuda", world.rank() == 1 ? Devices{kA} : Devices{}, 0, world);
    } catch (const core::ConfigError& error) {
      const std::lock_guard lock(mutex);
      EXPECT_NE(std::string(error.what()).find("no CUDA device is seen by rank 0, 2; "),
                std::string::npos)
          << error.what();
      ++refused;
    }
  });
  EXPECT_EQ(refused, 3);
}

}  // namespace
}  // namespace moat::trainer
