// cuDNN's engines take the graphs of attention, asked without a device: cuDNN compiles for a device
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

// GPT-2's and Llama's; lengths that no tile divides; heads that fill none, and the widest.
const AttentionShape kShapes[] = {
    Shape(1024, 12, 12, 64), Shape(2048, 32, 8, 64), Shape(1024, 16, 16, 128),
    Shape(1000, 4, 2, 64),   Shape(37, 2, 1, 72),    Shape(4096, 32, 8, 64),
    Shape(1024, 25, 25, 64), Shape(515, 8, 2, 128),  Shape(1023, 4, 1, 256)};

TEST_F(CudnnAttention, HasEnginesForBothPasses) {
  for (const AttentionShape& s : kShapes) {
    SCOPED_TRACE(std::to_string(s.seq_len) + " slots, heads of " + std::to_string(s.head_width));
    EXPECT_GT(CudnnEnginesFor(AttentionPass::kForward, s, kH100)->count, 0);
    EXPECT_GT(CudnnEnginesFor(AttentionPass::kBackward, s, kH100)->count, 0);
  }
}

// What is planned is enough, and not far more. That it is quadratic in the slots tells the form
// with equal bits each time from the one that adds in memory, which wants none of it.
TEST_F(CudnnAttention, WantsTheWorkspaceThatIsPlanned) {
  for (const AttentionShape& s : kShapes) {
    SCOPED_TRACE(std::to_string(s.seq_len) + " slots, heads of " + std::to_string(s.head_width));
    const int64_t wanted = CudnnEnginesFor(AttentionPass::kBackward, s, kH100)->workspace_bytes;
    const core::AttentionSlice slice = core::GradSliceOf(s);
    const int64_t sums = slice.rows * slice.kv_heads * s.heads / s.kv_heads * s.seq_len * 4;
    const int64_t planned = core::GradSliceBytes(s, slice);
    EXPECT_LE(wanted + sums, planned - 512);  // both begin at multiples of 256
    const int64_t heads = slice.rows * slice.kv_heads * (s.heads / s.kv_heads);
    EXPECT_GE(wanted, heads * s.seq_len * s.seq_len * 2);
    EXPECT_LE(wanted, heads * (s.seq_len + 128) * (s.seq_len + 128) * 2 + planned / 4);
  }
}

// The check can say no: Volta has no tensor cores for bf16.
TEST_F(CudnnAttention, HasNoneOnVolta) {
  std::string volta = kH100;
  volta.replace(volta.find("900"), 3, "700");
  for (const AttentionPass pass : {AttentionPass::kForward, AttentionPass::kBackward}) {
    EXPECT_EQ(CudnnEnginesFor(pass, kShapes[0], volta)->count, 0);
  }
}

}  // namespace
}  // namespace moat::tensor::cuda
