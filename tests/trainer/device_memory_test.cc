// What is taken of a device is asked of its driver.
#include "trainer/device_memory.h"

#include <gtest/gtest.h>

namespace moat::trainer {
namespace {

TEST(DeviceMemory, OfACpuIsNotTold) {
  DeviceMemory memory(core::DeviceKind::kCpu);
  EXPECT_EQ(memory.room().value, 0);
  EXPECT_EQ(memory.Peak().value, 0);
}

}  // namespace
}  // namespace moat::trainer
