// Memory, streams and events of every kind of device.
#include <numeric>

#include "core/error.h"
#include "tensor/event.h"
#include "tests/gpu/on_device.h"
#include "tests/support/values.h"

// Asking for more memory than there is must be answered, also under AddressSanitizer.
// NOLINTNEXTLINE(bugprone-reserved-identifier): the name is AddressSanitizer's
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }

namespace moat {
namespace {

using core::DType;
using tensor::HostView;
using tensor::Tensor;

class DeviceTest : public testing::OnDevice {};
MOAT_ON_EVERY_DEVICE(DeviceTest);

std::vector<int32_t> Counting(int64_t count) {
  std::vector<int32_t> values(static_cast<size_t>(count));
  std::iota(values.begin(), values.end(), 7);
  return values;
}

TEST_P(DeviceTest, NewMemoryIsZeroAndAligned) {
  for (const int64_t count : {0, 1, 63, 100003}) {
    const Tensor tensor(count, DType::kI32, device());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.view().data) % 64, 0u);
    std::vector<int32_t> got(static_cast<size_t>(count), -1);
    tensor::Copy(tensor.view(), HostView(got.data(), count), stream());
    stream().Synchronize();
    EXPECT_EQ(got, std::vector<int32_t>(static_cast<size_t>(count)));
  }
}

TEST_P(DeviceTest, CopiesThereAndBackAtAnyOffset) {
  const int64_t count = 100003;
  const std::vector<int32_t> values = Counting(count);
  Tensor there(count, DType::kI32, device()), moved(count, DType::kI32, device());
  tensor::Copy(HostView(values.data(), count), there.view(), stream());
  for (const int64_t offset : {0, 1, 3, 4097}) {
    const int64_t n = count - offset;
    tensor::Copy(there.view().Range(offset, n), moved.view().Range(0, n), stream());
    std::vector<int32_t> got(static_cast<size_t>(n));
    tensor::Copy(moved.view().Range(0, n), HostView(got.data(), n), stream());
    stream().Synchronize();
    EXPECT_TRUE(std::equal(got.begin(), got.end(), values.begin() + offset)) << offset;
  }
}

TEST_P(DeviceTest, ZeroClearsWhatItIsGivenAndNothingElse) {
  const std::vector<int32_t> values = Counting(64);
  Tensor there(64, DType::kI32, device());
  tensor::Copy(HostView(values.data(), 64), there.view(), stream());
  const tensor::View part = there.view().Range(5, 20);
  tensor::DeviceOf(device()).zero(part.data, part.bytes(), stream());
  std::vector<int32_t> got(64), want = values;
  std::fill_n(want.begin() + 5, 20, 0);
  tensor::Copy(std::as_const(there).view(), HostView(got.data(), 64), stream());
  stream().Synchronize();
  EXPECT_EQ(got, want);
}

TEST_P(DeviceTest, MoreMemoryThanThereIsAnErrorWithItsSizeAndTheDeviceGoesOn) {
  try {
    const Tensor huge(int64_t{1} << 48, DType::kF32, device());
    FAIL() << "a pebibyte was to be had";
  } catch (const core::OutOfMemoryError& error) {
    EXPECT_NE(std::string(error.what()).find("1.0 PiB"), std::string::npos) << error.what();
  }
  const std::vector<float> values = testing::RandomValues("x", 1000);
  EXPECT_TRUE(testing::SameBits(Get(Put(values, DType::kF32)), values));
}

// The waiting stream reads what a long piece of work of the other one writes last.
TEST_P(DeviceTest, AnEventOrdersTwoStreams) {
  const int64_t n = testing::kEmulated ? 24 : 1536;
  const std::vector<float> ones(static_cast<size_t>(n * n), 1.0f);
  const Tensor a = Put(ones, DType::kF32);
  for (int round = 0; round < 5; ++round) {
    Tensor product(n * n, DType::kF32, device()), seen(n * n, DType::kF32, device());
    tensor::Stream reader(device(), 0);
    tensor::Event written(device());
    for (int i = 0; i < (device() == core::DeviceKind::kCpu ? 1 : 20); ++i) {
      tensor::MatMul(false, false, n, n, n, a.view(), a.view(), {}, product.view(), false,
                     stream());
    }
    written.Record(stream());
    written.Wait(reader);
    tensor::Copy(std::as_const(product).view(), seen.view(), reader);
    reader.Synchronize();
    EXPECT_TRUE(written.Done());
    EXPECT_EQ(Get(seen), std::vector<float>(ones.size(), static_cast<float>(n)));
  }
}

TEST_P(DeviceTest, EventsTellTimeBetweenThem) {
  const int64_t n = testing::kEmulated ? 24 : 768;
  const Tensor a = Put(testing::RandomValues("a", n * n), DType::kF32);
  Tensor c(n * n, DType::kF32, device());
  tensor::Event begin(device()), end(device());
  begin.Record(stream());
  tensor::MatMul(false, false, n, n, n, a.view(), a.view(), {}, c.view(), false, stream());
  end.Record(stream());
  end.Synchronize();
  EXPECT_TRUE(begin.Done() && end.Done() && stream().Done());
  EXPECT_GT(end.SecondsSince(begin), 0);
  EXPECT_LT(end.SecondsSince(begin), 60);
}

TEST_P(DeviceTest, ADeviceThatIsNotThereIsAnError) {
  if (device() == core::DeviceKind::kCpu) {
    EXPECT_THROW(tensor::Stream(device(), 1), core::BugError);
  } else {
    EXPECT_THROW(tensor::Stream(device(), tensor::CudaDevice().count()), core::ConfigError);
    EXPECT_THROW(tensor::Stream(device(), -1), core::ConfigError);
  }
}

class CudaDeviceTest : public testing::OnDevice {};
MOAT_ON_CUDA(CudaDeviceTest);

TEST_P(CudaDeviceTest, MemoryOfAnotherDeviceIsABug) {
  std::vector<float> host(4);
  Tensor there(4, DType::kF32, device());
  EXPECT_THROW(tensor::Add(HostView(std::as_const(host).data(), 4), there.view(), stream()),
               core::BugError);
  tensor::Stream cpu;
  EXPECT_THROW(tensor::Copy(std::as_const(there).view(), HostView(host.data(), 4), cpu),
               core::BugError);
}

}  // namespace
}  // namespace moat
