// Matrix products in every layout, bitwise for any threads.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/tensor/stored_values.h"

namespace moat::tensor {
namespace {

struct Case {
  bool trans_a, trans_b;
  int64_t m, n, k;
};

std::vector<double> Reference(const Case& c, const std::vector<float>& a,
                              const std::vector<float>& b, const std::vector<float>& start,
                              bool accumulate) {
  std::vector<double> out(static_cast<size_t>(c.m * c.n));
  for (int64_t i = 0; i < c.m; ++i) {
    for (int64_t j = 0; j < c.n; ++j) {
      double sum = accumulate ? static_cast<double>(start[static_cast<size_t>(i * c.n + j)]) : 0.0;
      for (int64_t k = 0; k < c.k; ++k) {
        const float x = a[static_cast<size_t>(c.trans_a ? k * c.m + i : i * c.k + k)];
        const float y = b[static_cast<size_t>(c.trans_b ? j * c.k + k : k * c.n + j)];
        sum += static_cast<double>(x) * static_cast<double>(y);
      }
      out[static_cast<size_t>(i * c.n + j)] = sum;
    }
  }
  return out;
}

// The element types of the operands and of c.
struct Types {
  core::DType operands, result;
};

class MatMulTest : public ::testing::TestWithParam<Types> {
 protected:
  core::DType operands = GetParam().operands, result = GetParam().result;
  double bound = result == core::DType::kF32 ? 1e-6 : 2.5e-3;

  // op(a) op(b), onto `start` with `accumulate`, for 1 to 4 threads.
  std::vector<float> Run(const Case& c, const Stored& a, const Stored& b, const Stored& start,
                         const Stored* bias, bool accumulate) {
    return testing::SameForAnyThreads([&](int threads) {
      Stream stream(threads);
      Stored out(result, accumulate ? start.floats() : Stored(result, c.m * c.n).floats());
      MatMul(c.trans_a, c.trans_b, c.m, c.n, c.k, a.view(), b.view(),
             bias ? bias->view() : ConstView{}, out.view(), accumulate, stream);
      return out.floats();
    });
  }
};

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {false, true, 5, 7, 3},      {false, false, 1, 129, 17}, {true, false, 33, 65, 300},
      {false, true, 515, 259, 31}, {true, true, 13, 130, 64},  {true, false, 64, 64, 4096},
      {true, false, 130, 770, 40}, {false, true, 1, 1, 1},     {true, true, 1, 3, 1}};
  return cases;
}

TEST_P(MatMulTest, EveryLayoutEqualsTheReferenceAndAnyThreads) {
  for (const Case& c : Cases()) {
    const auto a = RandomStored(operands, "a", c.m * c.k),
               b = RandomStored(operands, "b", c.k * c.n);
    const auto start = RandomStored(result, "c", c.m * c.n);
    for (const bool accumulate : {false, true}) {
      const auto got = Run(c, a, b, start, nullptr, accumulate);
      EXPECT_LT(testing::RelativeError(
                    got, Reference(c, a.floats(), b.floats(), start.floats(), accumulate)),
                bound);
    }
  }
}

TEST_P(MatMulTest, ProductsOfSmallIntegersAreExact) {
  for (const Case& c : Cases()) {
    if (c.k > 300) continue;
    std::vector<float> a, b, bias;
    for (int64_t i = 0; i < c.m * c.k; ++i) a.push_back(static_cast<float>(i * 7 % 5 - 2));
    for (int64_t i = 0; i < c.k * c.n; ++i) b.push_back(i * 5 % 17 == 0 ? 1.0f : 0.0f);
    for (int64_t i = 0; i < c.n; ++i) bias.push_back(static_cast<float>(i % 7));
    const Stored a_stored(operands, a), b_stored(operands, b), bias_stored(operands, bias);
    const std::vector<float> zero(static_cast<size_t>(c.m * c.n));
    const auto want = Reference(c, a, b, zero, false);
    const auto got = Run(c, a_stored, b_stored, Stored(result, zero), &bias_stored, false);
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_EQ(static_cast<double>(got[i]),
                want[i] + static_cast<double>(bias[i % static_cast<size_t>(c.n)]));
    }
  }
}

TEST_P(MatMulTest, SameBitsForAnyThreadsAtModelShapes) {
  for (const auto& c : {Case{false, false, 1024, 768, 704}, Case{false, false, 256, 64, 1024},
                        Case{false, false, 704, 256, 1024}, Case{true, false, 768, 512, 1024}}) {
    const auto a = RandomStored(operands, "a", c.m * c.k),
               b = RandomStored(operands, "b", c.k * c.n);
    Run(c, a, b, a, nullptr, false);
  }
}

TEST_P(MatMulTest, ABiasIsAddedToEveryRow) {
  const Case c{false, true, 515, 259, 31};
  const auto a = RandomStored(operands, "a", c.m * c.k), b = RandomStored(operands, "b", c.k * c.n),
             bias = RandomStored(operands, "bias", c.n);
  const auto plain = Run(c, a, b, a, nullptr, false), got = Run(c, a, b, a, &bias, false);
  const auto add = bias.floats();
  std::vector<double> want;
  for (size_t i = 0; i < got.size(); ++i) {
    const float sum = plain[i] + add[i % static_cast<size_t>(c.n)];
    want.push_back(static_cast<double>(sum));
    if (operands == core::DType::kF32) {
      ASSERT_EQ(got[i], sum);
    }
  }
  EXPECT_LT(testing::RelativeError(got, want), bound);
}

INSTANTIATE_TEST_SUITE_P(DTypes, MatMulTest,
                         ::testing::Values(Types{core::DType::kF32, core::DType::kF32},
                                           Types{core::DType::kBF16, core::DType::kBF16},
                                           Types{core::DType::kBF16, core::DType::kF32}),
                         [](const auto& info) {
                           return std::string(Name(info.param.operands)) + "_to_" +
                                  Name(info.param.result);
                         });

TEST(MatMul, WrongExtentsAreABug) {
  Stream stream;
  std::vector<float> x(6), out(4);
  EXPECT_THROW(MatMul(false, false, 2, 2, 4, HostView(x.data(), 6), HostView(x.data(), 6), {},
                      HostView(out.data(), 4), false, stream),
               core::BugError);
}

}  // namespace
}  // namespace moat::tensor
