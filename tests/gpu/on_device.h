// A test that runs on a kind of device, named by its parameter: "cpu/..." everywhere, "gpu/..."
// where there is a CUDA device, and skipped with the reason where there is none. In
// gpu_emulated_test the CUDA device is the emulator's, and the name is "emulated/...".
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "tensor/device.h"
#include "tensor/ops.h"
#include "tensor/stream.h"
#include "tensor/tensor.h"

namespace moat::testing {

// The values a tensor of dtype holds.
inline std::vector<float> As(core::DType dtype, std::vector<float> values) {
  if (dtype == core::DType::kBF16) {
    for (float& value : values) value = static_cast<float>(core::BFloat16(value));
  }
  return values;
}

// Memory of a device with these values, rounded to dtype (f32 or bf16).
inline tensor::Tensor Put(const std::vector<float>& values, core::DType dtype,
                          core::DeviceKind device, tensor::Stream& stream) {
  const auto count = std::ssize(values);
  tensor::Tensor there(count, dtype, device);
  const std::vector<core::BFloat16> narrow(values.begin(), values.end());
  tensor::Copy(dtype == core::DType::kF32 ? tensor::HostView(values.data(), count)
                                          : tensor::HostView(narrow.data(), count),
               there.view(), stream);
  stream.Synchronize();
  return there;
}

inline std::vector<float> Get(const tensor::Tensor& there, tensor::Stream& stream) {
  std::vector<float> values(static_cast<size_t>(there.count()));
  std::vector<core::BFloat16> narrow(values.size());
  const bool f32 = there.dtype() == core::DType::kF32;
  tensor::Copy(there.view(),
               f32 ? tensor::HostView(values.data(), there.count())
                   : tensor::HostView(narrow.data(), there.count()),
               stream);
  stream.Synchronize();
  for (size_t i = 0; !f32 && i < values.size(); ++i) values[i] = static_cast<float>(narrow[i]);
  return values;
}

#ifdef MOAT_CUDA_IS
inline constexpr bool kEmulated = true;  // and slow: sizes should be small
#else
inline constexpr bool kEmulated = false;
#endif

class OnDevice : public ::testing::TestWithParam<core::DeviceKind> {
 protected:
  void SetUp() override {
    if (device() == core::DeviceKind::kCuda && tensor::CudaDevice().count() == 0) {
      GTEST_SKIP() << "no CUDA device: " << tensor::LookAtCuda().problem;
    }
    stream_ = std::make_unique<tensor::Stream>(device(), 0);
  }

  core::DeviceKind device() const { return GetParam(); }
  tensor::Stream& stream() { return *stream_; }

  // Element types this device computes in.
  std::vector<core::DType> dtypes() const {
    std::vector<core::DType> offered;
    for (const core::DType dtype : {core::DType::kF32, core::DType::kBF16}) {
      try {
        tensor::DeviceOf(device()).kernels(dtype);
        offered.push_back(dtype);
      } catch (const core::ConfigError&) {
      }
    }
    return offered;
  }

  tensor::Tensor Put(const std::vector<float>& values, core::DType dtype) {
    return testing::Put(values, dtype, device(), stream());
  }
  std::vector<float> Get(const tensor::Tensor& there) { return testing::Get(there, stream()); }

 private:
  std::unique_ptr<tensor::Stream> stream_;
};

inline std::string DeviceName(const ::testing::TestParamInfo<core::DeviceKind>& info) {
  return core::Name(info.param);
}

}  // namespace moat::testing

#define MOAT_INSTANTIATE(prefix, suite, kind) \
  INSTANTIATE_TEST_SUITE_P(prefix, suite, ::testing::Values(kind), ::moat::testing::DeviceName)
#ifdef MOAT_CUDA_IS  // the emulator's binary: the CPU's tests are in the other one
#define MOAT_ON_CUDA(suite) MOAT_INSTANTIATE(MOAT_CUDA_IS, suite, ::moat::core::DeviceKind::kCuda)
#define MOAT_ON_EVERY_DEVICE(suite) MOAT_ON_CUDA(suite)
#else
#define MOAT_ON_CUDA(suite) MOAT_INSTANTIATE(gpu, suite, ::moat::core::DeviceKind::kCuda)
#define MOAT_ON_EVERY_DEVICE(suite)                             \
  MOAT_INSTANTIATE(cpu, suite, ::moat::core::DeviceKind::kCpu); \
  MOAT_ON_CUDA(suite)
#endif
