// Matrix products in every layout, bitwise for any threads.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/support/values.h"

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

TEST(MatMul, EveryLayoutEqualsTheReferenceAndAnyThreads) {
  const std::vector<Case> cases = {{false, true, 5, 7, 3},     {false, false, 1, 129, 17},
                                   {true, false, 33, 65, 300}, {false, true, 515, 259, 31},
                                   {true, true, 13, 130, 64},  {true, false, 64, 64, 4096}};
  for (const Case& c : cases) {
    const auto a = testing::RandomValues("a", c.m * c.k), b = testing::RandomValues("b", c.k * c.n);
    const auto start = testing::RandomValues("c", c.m * c.n);
    for (const bool accumulate : {false, true}) {
      const auto got = testing::SameForAnyThreads([&](int threads) {
        Stream stream(threads);
        std::vector<float> out = start;
        MatMul(c.trans_a, c.trans_b, c.m, c.n, c.k, HostView(a.data(), c.m * c.k),
               HostView(b.data(), c.k * c.n), {}, HostView(out.data(), c.m * c.n), accumulate,
               stream);
        return out;
      });
      EXPECT_LT(testing::RelativeError(got, Reference(c, a, b, start, accumulate)), 1e-6);
    }
  }
}

TEST(MatMul, SameBitsForAnyThreadsAtModelShapes) {
  for (const auto& [m, n, k] :
       {std::tuple{1024, 768, 704}, std::tuple{256, 64, 1024}, std::tuple{704, 256, 1024}}) {
    const auto a = testing::RandomValues("a", int64_t{m} * k),
               b = testing::RandomValues("b", int64_t{k} * n);
    testing::SameForAnyThreads([&, m = m, n = n, k = k](int threads) {
      Stream stream(threads);
      std::vector<float> out(static_cast<size_t>(m) * static_cast<size_t>(n));
      MatMul(false, false, m, n, k, HostView(a.data(), int64_t{m} * k),
             HostView(b.data(), int64_t{k} * n), {}, HostView(out.data(), int64_t{m} * n), false,
             stream);
      return out;
    });
  }
}

TEST(MatMul, WrongExtentsAreABug) {
  Stream stream;
  std::vector<float> x(6), out(4);
  EXPECT_THROW(MatMul(false, false, 2, 2, 4, HostView(x.data(), 6), HostView(x.data(), 6), {},
                      HostView(out.data(), 4), false, stream),
               core::BugError);
}

}  // namespace
}  // namespace moat::tensor
