// Values as ops see them: stored in one of the element types, and what tests run for each of them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tensor/tensor.h"
#include "tests/support/values.h"

namespace moat::tensor {

// `values` rounded to `dtype` (f32 or bf16), in memory of their own.
class Stored {
 public:
  Stored(core::DType dtype, const std::vector<float>& values)
      : memory_(static_cast<int64_t>(values.size()), dtype) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (dtype == core::DType::kF32) {
        memory_.view().as<float>()[i] = values[i];
      } else {
        memory_.view().as<core::BFloat16>()[i] = core::BFloat16(values[i]);
      }
    }
  }
  // NaN everywhere, so that an element that an op forgot shows.
  Stored(core::DType dtype, int64_t count)
      : Stored(dtype, std::vector<float>(static_cast<size_t>(count), NAN)) {}

  View view() { return memory_.view(); }
  ConstView view() const { return memory_.view(); }
  View Range(int64_t begin, int64_t n) { return view().Range(begin, n); }
  ConstView Range(int64_t begin, int64_t n) const { return view().Range(begin, n); }
  int64_t count() const { return memory_.count(); }
  std::vector<float> floats() const {
    std::vector<float> values(static_cast<size_t>(count()));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = memory_.dtype() == core::DType::kF32
                      ? view().as<float>()[i]
                      : static_cast<float>(view().as<core::BFloat16>()[i]);
    }
    return values;
  }
  std::vector<double> doubles() const {
    const std::vector<float> values = floats();
    return {values.begin(), values.end()};
  }

 private:
  Tensor memory_;
};

inline Stored RandomStored(core::DType dtype, const std::string& name, int64_t count,
                           float scale = 1) {
  return Stored(dtype, testing::RandomValues(name, count, scale));
}

// One body for every element type.
class DTypeTest : public ::testing::TestWithParam<core::DType> {
 protected:
  core::DType dtype = GetParam();
  // The relative L2 error that results stored in the dtype may have: rounding to bf16 alone gives
  // about 1.7e-3.
  double Bound(double f32, double bf16 = 2.5e-3) const {
    return dtype == core::DType::kF32 ? f32 : bf16;
  }
};

#define MOAT_EVERY_DTYPE(suite)                                                      \
  INSTANTIATE_TEST_SUITE_P(DTypes, suite,                                            \
                           ::testing::Values(core::DType::kF32, core::DType::kBF16), \
                           [](const auto& info) { return std::string(Name(info.param)); })

}  // namespace moat::tensor
