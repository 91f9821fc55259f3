// The table of peaks finds a device by the name that it has for itself.
#include "tensor/device_peak.h"

#include <gtest/gtest.h>

namespace moat::tensor {
namespace {

TEST(DevicePeak, IsOfTheProductNotOfItsFamily) {
  EXPECT_EQ(989.4e12, DenseBf16Peak("NVIDIA H100 80GB HBM3"));
  EXPECT_EQ(756.5e12, DenseBf16Peak("NVIDIA H100 PCIe"));
  EXPECT_EQ(989.4e12, DenseBf16Peak("NVIDIA H200"));
  EXPECT_EQ(148e12, DenseBf16Peak("NVIDIA H20"));
  EXPECT_EQ(311.9e12, DenseBf16Peak("NVIDIA A100-SXM4-80GB"));
  EXPECT_EQ(362e12, DenseBf16Peak("NVIDIA L40S"));
}

TEST(DevicePeak, OfAnotherDeviceIsNotKnown) { EXPECT_EQ(0, DenseBf16Peak("Emulated")); }

}  // namespace
}  // namespace moat::tensor
