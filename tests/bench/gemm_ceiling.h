// The best rate at which oneDNN itself makes the matrix products of a model: what moat's products
// are measured against.
//
// Shares no code with tensor/: it describes each product to oneDNN in several ways (plain layouts,
// layouts of oneDNN's own choice, the product transposed) and keeps the best time of all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/dtype.h"

namespace moat::bench {

enum class Pass { kForward, kDataGradient, kWeightGradient };

// One product of a linear map from `in` to `out` features over `tokens` rows; weights are stored
// [out, in].
struct LinearProduct {
  Pass pass;
  int64_t tokens, in, out;
  core::DType dtype;          // of operands: f32 or bf16
  bool f32_result;            // results are of `dtype` otherwise
  double times_per_step = 1;  // how often a step makes it

  double flops() const {
    return 2.0 * static_cast<double>(tokens) * static_cast<double>(in) * static_cast<double>(out);
  }
  std::string Describe() const;  // "forward 1024 x 768 -> 2304"
};

// Times one product. Holds the memory of its operands.
class GemmCeiling {
 public:
  GemmCeiling(const LinearProduct& product, int threads);
  ~GemmCeiling();
  GemmCeiling(GemmCeiling&&) noexcept;

  // Runs every way once. Call it several times, between other measurements, so that a busy moment
  // of the machine does not strike one side alone. `clock` gives seconds.
  void Round(double (*clock)());
  double best_seconds() const { return best_; }  // of all ways and rounds; infinite before
  const std::string& best_way() const { return best_way_; }

 private:
  struct Way;
  std::vector<std::unique_ptr<Way>> ways_;
  std::vector<std::unique_ptr<char[]>> memory_;
  int threads_;
  double best_;
  std::string best_way_;
};

// FLOP/s over all the products of a step, each at its best rate: the harmonic mean weighted by
// FLOPs. Takes seconds: `rounds` over all products, on `threads` threads of this process.
double BestRateOfStep(const std::vector<LinearProduct>& products, int threads, int rounds,
                      double (*clock)());

}  // namespace moat::bench
