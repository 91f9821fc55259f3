// The table of data sheets finds a device by the name that it has for itself, and by people's.
#include "core/device_sheet.h"

#include <gtest/gtest.h>

namespace moat::core {
namespace {

TEST(DeviceSheet, PeakIsOfTheProductNotOfItsFamily) {
  EXPECT_EQ(989.4e12, DenseBf16Peak("NVIDIA H100 80GB HBM3"));
  EXPECT_EQ(756.5e12, DenseBf16Peak("NVIDIA H100 PCIe"));
  EXPECT_EQ(989.4e12, DenseBf16Peak("NVIDIA H200"));
  EXPECT_EQ(148e12, DenseBf16Peak("NVIDIA H20"));
  EXPECT_EQ(311.9e12, DenseBf16Peak("NVIDIA A100-SXM4-80GB"));
  EXPECT_EQ(362e12, DenseBf16Peak("NVIDIA L40S"));
}

TEST(DeviceSheet, OfAnotherDeviceIsNotKnown) {
  EXPECT_EQ(0, DenseBf16Peak("Emulated"));
  EXPECT_EQ(nullptr, FindDeviceSheet("h10"));
}

TEST(DeviceSheet, PeopleFindTheDeviceThatCallsItselfSo) {
  for (const DeviceSheet& sheet : DeviceSheets()) {
    EXPECT_EQ(&sheet, FindDeviceSheet(sheet.hardware));
    EXPECT_EQ(sheet.bf16_flops, DenseBf16Peak(std::string("NVIDIA ") + sheet.name));
    EXPECT_GT(sheet.memory.value, int64_t{20} << 30) << sheet.hardware;
  }
  EXPECT_EQ(int64_t{81559} << 20, FindDeviceSheet("h100")->memory.value);
}

}  // namespace
}  // namespace moat::core
