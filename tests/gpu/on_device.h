// A test that runs on a kind of device, named by its parameter: "cpu/..." everywhere, "gpu/..."
// where there is a CUDA device, and skipped with the reason where there is none.
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

  // Memory of the device with these values, rounded to dtype.
  tensor::Tensor Put(const std::vector<float>& values, core::DType dtype) {
    const auto count = std::ssize(values);
    tensor::Tensor there(count, dtype, device());
    if (dtype == core::DType::kF32) {
      tensor::Copy(tensor::HostView(values.data(), count), there.view(), stream());
    } else {
      const std::vector<core::BFloat16> rounded = Rounded(values);
      tensor::Copy(tensor::HostView(rounded.data(), count), there.view(), stream());
    }
    stream().Synchronize();
    return there;
  }

  std::vector<float> Get(const tensor::Tensor& there) {
    std::vector<float> values(static_cast<size_t>(there.count()));
    if (there.dtype() == core::DType::kF32) {
      tensor::Copy(there.view(), tensor::HostView(values.data(), there.count()), stream());
      stream().Synchronize();
      return values;
    }
    std::vector<core::BFloat16> narrow(values.size());
    tensor::Copy(there.view(), tensor::HostView(narrow.data(), there.count()), stream());
    stream().Synchronize();
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(narrow[i]);
    return values;
  }

  static std::vector<core::BFloat16> Rounded(const std::vector<float>& values) {
    return {values.begin(), values.end()};
  }
  // The values a tensor of dtype holds.
  static std::vector<float> As(core::DType dtype, std::vector<float> values) {
    if (dtype == core::DType::kBF16) {
      for (float& value : values) value = static_cast<float>(core::BFloat16(value));
    }
    return values;
  }

 private:
  std::unique_ptr<tensor::Stream> stream_;
};

inline std::string DeviceName(const ::testing::TestParamInfo<core::DeviceKind>& info) {
  return core::Name(info.param);
}

}  // namespace moat::testing

#define MOAT_ON_EVERY_DEVICE(suite)                                                \
  INSTANTIATE_TEST_SUITE_P(cpu, suite, ::testing::Values(core::DeviceKind::kCpu),  \
                           testing::DeviceName);                                   \
  INSTANTIATE_TEST_SUITE_P(gpu, suite, ::testing::Values(core::DeviceKind::kCuda), \
                           testing::DeviceName)
