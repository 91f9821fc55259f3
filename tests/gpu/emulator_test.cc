// The emulator shows what it is there to show: here are kernels with mistakes, and they are found.
#include <cuda_bf16.h>
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "core/error.h"
#include "model/generator.h"
#include "tensor/cuda/instruction.cuh"
#include "tensor/cuda/launch.h"
#include "tensor/cuda/reduce.cuh"
#include "tensor/ops.h"
#include "tests/gpu/emulator/memory.h"
#include "tests/model/tiny_model.h"
#include "tests/support/values.h"

namespace moat::tensor::cuda {
namespace {

constexpr int kThreads = 128;

class EmulatorTest : public ::testing::Test {
 protected:
  Stream stream{core::DeviceKind::kCuda, 0};
  Tensor memory{4 * kThreads, core::DType::kF32, core::DeviceKind::kCuda};

  template <typename Kernel, typename... Arguments>
  void Run(Kernel kernel, unsigned blocks, size_t shared, const Arguments&... arguments) {
    Launch("a kernel", stream, kernel, blocks, kThreads, shared,
           static_cast<float*>(memory.view().data), arguments...);
  }
  std::vector<float> Values() {
    std::vector<float> values(static_cast<size_t>(memory.count()));
    Copy(std::as_const(memory).view(), HostView(values.data(), memory.count()), stream);
    stream.Synchronize();
    return values;
  }
};

// Each thread reads what its neighbour in another warp wrote.
template <bool kBarrier>
void PassOn(float* values) {
  __shared__ float shared[kThreads];
  shared[threadIdx.x] = static_cast<float>(blockIdx.x * kThreads + threadIdx.x + 1);
  if (kBarrier) __syncthreads();
  values[blockIdx.x * kThreads + threadIdx.x] = shared[(threadIdx.x + 32) % kThreads];
}

std::vector<float> PassedOn() {
  std::vector<float> want;
  for (int i = 0; i < 4 * kThreads; ++i) {
    const int block = i / kThreads;
    want.push_back(static_cast<float>(block * kThreads + (i + 32) % kThreads + 1));
  }
  return want;
}

TEST_F(EmulatorTest, ABarrierIsABarrierAndAMissingOneShows) {
  Run(PassOn<true>, 4, 0);
  EXPECT_EQ(Values(), PassedOn());
  Run(PassOn<false>, 4, 0);
  EXPECT_NE(Values(), PassedOn());
}

// Each lane reads what its neighbour wrote.
template <bool kBarrier>
void PassOnInWarp(float* values) {
  __shared__ float shared[kThreads];
  shared[threadIdx.x] = static_cast<float>(threadIdx.x + 1);
  if (kBarrier) __syncwarp();
  values[threadIdx.x] = shared[threadIdx.x ^ 1];
}

TEST_F(EmulatorTest, AMissingBarrierOfAWarpShows) {
  const auto right = [&] {
    const std::vector<float> values = Values();
    for (int i = 0; i < kThreads; ++i) {
      if (values[static_cast<size_t>(i)] != static_cast<float>((i ^ 1) + 1)) return false;
    }
    return true;
  };
  Run(PassOnInWarp<true>, 1, 0);
  EXPECT_TRUE(right());
  // In a kernel of its own, shared memory holds nothing yet.
  Run(PassOnInWarp<false>, 1, 0);
  EXPECT_FALSE(right());
}

// The second half of what a thread wrote before comes back through shared memory.
template <bool kWait, bool kBarrier>
void PassOnLater(float* values) {
  __shared__ __align__(16) float shared[4 * kThreads];
  CopyLater(shared + 4 * threadIdx.x, values + 4 * threadIdx.x, threadIdx.x != 7);
  if (kWait) WaitForCopies();
  if (kBarrier) __syncthreads();
  const float4 next =
      *reinterpret_cast<const float4*>(shared + 4 * ((threadIdx.x + 32) % kThreads));
  __syncthreads();
  WaitForCopies();
  *reinterpret_cast<float4*>(values + 4 * threadIdx.x) = next;
}

TEST_F(EmulatorTest, ACopyThatNobodyWaitedForShows) {
  std::vector<float> start(4 * kThreads), want(4 * kThreads);
  std::iota(start.begin(), start.end(), 1.0f);
  for (size_t i = 0; i < want.size(); ++i) {
    const size_t from = (i / 4 + 32) % kThreads;
    want[i] = from == 7 ? 0.0f : start[4 * from + i % 4];
  }
  const auto run = [&](auto kernel) {
    Copy(HostView(std::as_const(start).data(), std::ssize(start)), memory.view(), stream);
    Run(kernel, 1, 0);
    return Values();
  };
  EXPECT_EQ(run(PassOnLater<true, true>), want);
  EXPECT_NE(run(PassOnLater<false, true>), want);
  EXPECT_NE(run(PassOnLater<true, false>), want);
}

void SumTwice(float* values) {
  const float first = OverBlock<Sum, kThreads>(static_cast<float>(threadIdx.x));
  values[threadIdx.x] = OverBlock<Sum, kThreads>(first);
}

TEST_F(EmulatorTest, SumsOverABlockDoNotDisturbEachOther) {
  Run(SumTwice, 1, 0);
  const std::vector<float> values = Values();
  for (int i = 0; i < kThreads; ++i) {
    EXPECT_EQ(values[static_cast<size_t>(i)], 127.0f * 64 * kThreads);
  }
}

void DivergeAtABarrier(float*) {
  if (threadIdx.x < 64) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
void LeaveBeforeABarrier(float*) {
  if (threadIdx.x == 5) return;
  __syncthreads();
}
void LeaveBeforeAShuffle(float* values) {
  if (threadIdx.x == 5) return;
  if (OverLanes<Sum>(1.0f) == 0) values[threadIdx.x] = 1;
}
void WriteBeyondShared(float*) { static_cast<float*>(DynamicShared())[kThreads + threadIdx.x] = 1; }

// Errors stay, as on a device: each takes the process with it.
template <typename Kernel>
void ExpectError(Kernel kernel, const char* what) {
  EXPECT_EXIT(
      {
        Stream stream(core::DeviceKind::kCuda, 0);
        Launch("a kernel", stream, kernel, 1u, kThreads, kThreads * sizeof(float),
               static_cast<float*>(nullptr));
        try {
          stream.Synchronize();
          std::fprintf(stderr, "no error\n");
        } catch (const core::BugError& error) {
          std::fprintf(stderr, "%s\n", error.what());
        }
        std::_Exit(1);
      },
      ::testing::ExitedWithCode(1), what);
}

TEST_F(EmulatorTest, WhatIsUndefinedIsAnError) {
  ExpectError(DivergeAtABarrier, "wait at different places");
  ExpectError(LeaveBeforeABarrier, "wait at different places");
  ExpectError(LeaveBeforeAShuffle, "wait at different places");
  ExpectError(WriteBeyondShared, "beyond its shared memory");
}

void WriteFar(float* values, int64_t at) {
  if (threadIdx.x == 0) values[at] = 1;
}

TEST_F(EmulatorTest, MemoryThatIsNotTheKernelsEndsTheProgram) {
  const auto far = [&](int64_t at) {
    Run(WriteFar, 1, 0, at);
    stream.Synchronize();
  };
  EXPECT_DEATH(far(memory.count() + 1024), "");
  EXPECT_DEATH(far(memory.count() + 16), "");
  // Closer ones are found when the memory is freed.
  EXPECT_DEATH(
      {
        Tensor odd(5, core::DType::kF32, core::DeviceKind::kCuda);
        Launch("a kernel", stream, WriteFar, 1u, kThreads, 0, static_cast<float*>(odd.view().data),
               int64_t{5});
      },
      "wrote behind a buffer");
}

TEST_F(EmulatorTest, TheHostDoesNotReachTheDevicesMemory) {
  volatile auto* const values = static_cast<float*>(memory.view().data);
  EXPECT_DEATH(values[0] = 1, "");
}

TEST_F(EmulatorTest, WorkWaitsUntilSomebodyWaitsForIt) {
  std::vector<float> host(static_cast<size_t>(memory.count()), 1.0f);
  Copy(HostView(std::as_const(host).data(), memory.count()), memory.view(), stream);
  host.assign(host.size(), 2.0f);  // too early
  EXPECT_EQ(Values(), host);
}

void TooMuchShared(float*) {}

TEST_F(EmulatorTest, LaunchesThatADeviceRefusesAreRefused) {
  EXPECT_THROW(Run(TooMuchShared, 1, size_t{228} << 10), core::BugError);
  EXPECT_THROW(Launch("a kernel", stream, TooMuchShared, dim3(1, 70000), kThreads, 0,
                      static_cast<float*>(nullptr)),
               core::BugError);
  Run(TooMuchShared, 1, size_t{200} << 10);  // asks for it
  Run(TooMuchShared, 0, 0);                  // no work
  stream.Synchronize();
}

// c = a b by one warp, a and b in shared memory.
void WarpProduct(float* values) {
  struct Tiles {
    uint16_t a[16][16];
    uint16_t b[16][8];
  };
  auto* const tiles = static_cast<Tiles*>(DynamicShared());
  const int lane = static_cast<int>(threadIdx.x);
  if (lane < 32) {
    for (int i = lane; i < 256; i += 32) {
      tiles->a[i / 16][i % 16] = __float2bfloat16_rn(static_cast<float>(i % 7 - 3)).x;
    }
    for (int i = lane; i < 128; i += 32) {
      tiles->b[i / 8][i % 8] = __float2bfloat16_rn(static_cast<float>(i % 5 - 2)).x;
    }
    __syncwarp();
    uint32_t a[4], b[4];
    LoadMatrices(&tiles->a[lane % 16][lane / 16 * 8], a);
    LoadMatricesTransposed(&tiles->b[lane % 16][0], b);
    float c[4] = {};
    MultiplyAdd(a, {b[0], b[1]}, c);
    for (int i = 0; i < 4; ++i) {
      values[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = c[i];
    }
  }
}

TEST_F(EmulatorTest, AWarpMultipliesMatricesAsPtxSays) {
  Run(WarpProduct, 1, 1024);
  const std::vector<float> got = Values();
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      int want = 0;
      for (int k = 0; k < 16; ++k) want += ((i * 16 + k) % 7 - 3) * ((k * 8 + j) % 5 - 2);
      EXPECT_EQ(got[static_cast<size_t>(i * 8 + j)], static_cast<float>(want)) << i << " " << j;
    }
  }
}

TEST_F(EmulatorTest, APassAndAGeneratedTokenCopyLargeThingsThroughPinnedMemoryOnly) {
  const configs::ModelConfig config = testing::TinyConfig();
  model::Transformer model(config, {}, stream);
  model.InitializeWeights(3);
  const auto batch = testing::TinyBatch(config, 1);
  const std::vector<uint64_t> samples = {10};
  const auto view = testing::View(batch, samples);
  const uint64_t before = emulator::PageableCopies();
  EXPECT_GT(before, 0u) << "initial values come from ordinary memory";
  model.ForwardBackward(view, 1, 1, false);
  std::vector<float> losses(static_cast<size_t>(config.seq_len));
  model.Evaluate(view, losses.data());
  EXPECT_EQ(emulator::PageableCopies(), before);
  model::Generator(model, stream).Feed({1, 2});
  EXPECT_EQ(emulator::PageableCopies(), before + 2) << "its tokens and their positions";
}

// Ampere has 163 KiB of shared memory a block, Hopper 227.
TEST_F(EmulatorTest, AttentionThatAnAmpereCannotHoldIsRefusedByNameBeforeItRuns) {
  const auto check = [&](int64_t head_width, core::DType dtype, bool with_gradient) {
    CheckAttention({1, 8, 1, 1, head_width, 64}, dtype, with_gradient, stream);
  };
  check(256, core::DType::kF32, true);
  emulator::shared_bytes_offered = 163 << 10;
  check(128, core::DType::kF32, true);
  check(256, core::DType::kBF16, true);
  try {
    check(136, core::DType::kF32, true);
    ADD_FAILURE() << "not refused";
  } catch (const core::ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("f32 with heads of 136"), std::string::npos)
        << error.what();
  }
  emulator::shared_bytes_offered = emulator::kMostSharedBytes;
  emulator::shared_bytes_offered = 163 << 10;
  configs::ModelConfig wide = testing::TinyConfig();
  wide.width = wide.heads * 136;
  EXPECT_THROW(model::Transformer(wide, {}, stream), core::ConfigError);
  emulator::shared_bytes_offered = emulator::kMostSharedBytes;
  EXPECT_THROW(check(257, core::DType::kBF16, false), core::ConfigError);
  EXPECT_THROW(CheckAttention({1, 1 << 21, 8, 8, 64, 64}, core::DType::kBF16, true, stream),
               core::ConfigError);
}

TEST_F(EmulatorTest, Float8OnADeviceWithoutItIsRefusedByName) {
  configs::ModelConfig config = testing::TinyConfig();
  config.width = 64, config.ffn = 32, config.seq_len = 16;
  const model::TransformerOptions options = {.dtype = core::DType::kBF16,
                                             .matmul_dtype = configs::MatmulDType::kFp8};
  const model::Transformer taken(config, options, stream);
  emulator::capability_offered = 80;
  try {
    const model::Transformer refused(config, options, stream);
    ADD_FAILURE() << "not refused";
  } catch (const core::ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("emulated has compute capability 8.0"),
              std::string::npos)
        << error.what();
  }
  emulator::capability_offered = 90;
}

}  // namespace
}  // namespace moat::tensor::cuda
