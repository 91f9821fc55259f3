// An op here and on the CPU in f32, from the same inputs: results agree, have the same bits each
// time, and nothing else is written.
//
// The CPU's ops are compared with their definitions in f64 in tests/tensor.
#pragma once

#include <cmath>
#include <deque>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/gpu/on_device.h"
#include "tests/support/values.h"

namespace moat::testing {

// Where an op runs once: gives it memory, each piece `offset` elements behind an aligned address,
// and keeps what it wrote.
class Place {
 public:
  // `dtype`: of the op's elements here. `inputs`: what inputs are rounded to first.
  Place(core::DeviceKind device, core::DType dtype, core::DType inputs, int64_t offset,
        tensor::Stream& stream)
      : device_(device), dtype_(dtype), inputs_(inputs), offset_(offset), stream_(stream) {}

  tensor::Stream& stream() { return stream_; }
  core::DType dtype() const { return dtype_; }

  tensor::ConstView In(const std::vector<float>& values) {
    return Hold(As(inputs_, values), dtype_);
  }
  tensor::ConstView InF32(const std::vector<float>& values) {
    return Hold(values, core::DType::kF32);
  }
  tensor::ConstView InI32(const std::vector<int32_t>& values) {
    tensor::Tensor& there = tensors_.emplace_back(std::ssize(values), core::DType::kI32, device_);
    tensor::Copy(tensor::HostView(values.data(), std::ssize(values)), there.view(), stream_);
    stream_.Synchronize();
    return std::as_const(there).view();
  }
  // What the op writes: NaN before, or `values` where it adds to them.
  tensor::View Out(int64_t count) { return Result(Nothing(count), dtype_); }
  tensor::View Out(const std::vector<float>& values) { return Result(As(inputs_, values), dtype_); }
  tensor::View OutF32(int64_t count) { return Result(Nothing(count), core::DType::kF32); }
  tensor::View OutF32(const std::vector<float>& values) {
    return Result(values, core::DType::kF32);
  }
  // Memory whose contents do not count.
  tensor::View Scratch(int64_t count) { return Hold(Nothing(count), core::DType::kF32); }

  // What the op wrote, in the order of Out...(). Expects all around it as it was.
  std::vector<std::vector<float>> Results() {
    std::vector<std::vector<float>> all;
    for (const tensor::Tensor* there : results_) {
      std::vector<float> values = Get(*there, stream_);
      const auto begin = values.begin() + offset_, end = values.end() - kBehind;
      for (auto it = values.begin(); it != values.end(); ++it) {
        if (it < begin || it >= end) {
          EXPECT_TRUE(std::isnan(*it)) << "written outside of a view";
        }
      }
      all.emplace_back(begin, end);
    }
    return all;
  }

 private:
  static constexpr float kAround = NAN;  // shows when it is read, and when it is written
  static constexpr int64_t kBehind = 9;

  static std::vector<float> Nothing(int64_t count) {
    return std::vector<float>(static_cast<size_t>(count), NAN);
  }
  tensor::View Hold(const std::vector<float>& values, core::DType dtype) {
    std::vector<float> around(static_cast<size_t>(offset_), kAround);
    around.insert(around.end(), values.begin(), values.end());
    around.insert(around.end(), kBehind, kAround);
    tensor::Tensor& there = tensors_.emplace_back(Put(around, dtype, device_, stream_));
    return there.view().Range(offset_, std::ssize(values));
  }
  tensor::View Result(const std::vector<float>& values, core::DType dtype) {
    const tensor::View view = Hold(values, dtype);
    results_.push_back(&tensors_.back());
    return view;
  }
  core::DeviceKind device_;
  core::DType dtype_, inputs_;
  int64_t offset_;
  tensor::Stream& stream_;
  std::deque<tensor::Tensor> tensors_;
  std::vector<const tensor::Tensor*> results_;
};

// Relative errors in L2, by the element type. The last `f32_results` results of an op are f32
// whatever the element type, and so are their errors.
struct Tolerance {
  double f32 = 1e-5;
  double bf16 = 1e-2;
  size_t f32_results = 0;
};

class ConformanceTest : public OnDevice {
 protected:
  using Op = std::function<void(Place&)>;

  // Runs op(place) on the CPU in f32, and here in every element type, on aligned memory and on
  // memory that lies anywhere.
  void ExpectAgrees(const std::string& what, const Op& op, const Tolerance& tolerance = {}) {
    for (const core::DType dtype : dtypes()) {
      tensor::Stream cpu;
      const auto want = Run(op, core::DeviceKind::kCpu, core::DType::kF32, dtype, 0, cpu);
      for (const int64_t offset : {0, 1}) {
        SCOPED_TRACE(what + " in " + core::Name(dtype) + ", offset " + std::to_string(offset));
        const auto got = Run(op, device(), dtype, dtype, offset, stream());
        const auto again = Run(op, device(), dtype, dtype, offset, stream());
        ASSERT_EQ(got.size(), want.size());
        for (size_t i = 0; i < got.size(); ++i) {
          const bool wide = dtype == core::DType::kF32 || i + tolerance.f32_results >= got.size();
          EXPECT_LT(RelativeError(got[i], want[i]), wide ? tolerance.f32 : tolerance.bf16)
              << "result " << i;
          EXPECT_TRUE(SameBits(got[i], again[i])) << "result " << i << " differs each time";
        }
      }
    }
  }

 private:
  static std::vector<std::vector<float>> Run(const Op& op, core::DeviceKind device,
                                             core::DType dtype, core::DType inputs, int64_t offset,
                                             tensor::Stream& stream) {
    Place place(device, dtype, inputs, offset, stream);
    op(place);
    return place.Results();
  }
};

}  // namespace moat::testing
