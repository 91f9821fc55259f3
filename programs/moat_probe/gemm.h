// The rate of matrix products that oneDNN reaches on this machine: the ceiling that training is
// compared with. It calls oneDNN directly and shares nothing with tensor/.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moat::programs {

struct ProductRate {
  int64_t m = 0, n = 0, k = 0;
  double gflops = 0;   // 1e9 floating point operations a second: the best of all rounds
  std::string layout;  // "plain" or "packed" weights, which reached it
};

struct GemmRates {
  std::string problem;  // why there are none, or ""
  std::vector<ProductRate> products;
  double best = 0;   // of the products
  double whole = 0;  // all products one after another, each at its best
};

// Products of m = 1,024 tokens with the weights of GPT-2 124M, f32 or bf16 (sums always f32), on
// `threads` threads, after one to warm up repeated for about `seconds`.
GemmRates MeasureGemm(bool bf16, int threads, double seconds);

}  // namespace moat::programs
