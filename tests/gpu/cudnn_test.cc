// cuDNN's engines take the graph of attention, asked without a device: cuDNN compiles for a device
// that is only described to it. What they compute no test here can show.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include "tensor/cuda/attention_plans.h"

namespace moat::tensor::cuda {
namespace {

// An H100 as cuDNN writes its properties down.
constexpr const char* kH100 =
    R"({"maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64],
        "deviceVer": 900, "driverVer": 13000, "regsPerBlock": 65536, "multiProcessorCount": 132,
        "smClockRateKHz": 1980000, "memClockRateKHz": 2619000, "l2CacheSize": 52428800,
        "warpSize": 32, "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": 232448,
        "reservedSharedMemoryPerBlock": 1024, "maxRegistersPerSM": 65536, "pciDeviceId": 0,
        "maxCtasPerSM": 32, "maxThreadsPerBlock": 1024, "maxThreadsPerSM": 2048, "isTccDriver": 0,
        "supportCoopLaunch": 1, "cudaDeviceId": 0, "totalGlobalMem": 85014413312,
        "deviceName": "NVIDIA H100 80GB HBM3"})";

class CudnnAttention : public testing::Test {
 protected:
  void SetUp() override {
    if (CudnnForAttention() == 0) GTEST_SKIP() << "no cuDNN 9.19 or later on this machine";
    // cuDNN wants a driver before it looks at a graph; what the toolkit has in place of one will
    // do.
    if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) == nullptr &&
        dlopen(MOAT_STUB_DRIVER, RTLD_NOW | RTLD_GLOBAL) == nullptr) {
      GTEST_SKIP() << "neither a driver nor the toolkit's stub of one: " << dlerror();
    }
  }
};

AttentionShape Shape(int64_t seq_len, int64_t heads, int64_t kv_heads, int64_t head_width) {
  return {8, seq_len, heads, kv_heads, head_width, 64};
}

TEST_F(CudnnAttention, HasEnginesForTheSpansOfGpt2AndLlama) {
  EXPECT_GT(CudnnEnginesFor(Shape(1024, 12, 12, 64), kH100), 0);
  EXPECT_GT(CudnnEnginesFor(Shape(2048, 32, 8, 64), kH100), 0);
  EXPECT_GT(CudnnEnginesFor(Shape(1024, 16, 16, 128), kH100), 0);
}

TEST_F(CudnnAttention, HasEnginesForLengthsThatNoTileDivides) {
  EXPECT_GT(CudnnEnginesFor(Shape(1000, 4, 2, 64), kH100), 0);
  EXPECT_GT(CudnnEnginesFor(Shape(37, 2, 1, 72), kH100), 0);
}

// The check can say no: Volta has no tensor cores for bf16.
TEST_F(CudnnAttention, HasNoneOnVolta) {
  std::string volta = kH100;
  volta.replace(volta.find("900"), 3, "700");
  EXPECT_EQ(CudnnEnginesFor(Shape(1024, 12, 12, 64), volta), 0);
}

}  // namespace
}  // namespace moat::tensor::cuda
