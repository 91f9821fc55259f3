// Plain loops over large memory.
#include "tests/bench/memory_ceiling.h"

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace moat::bench {
namespace {

constexpr int64_t kCount = int64_t{1} << 25;  // 128 MiB each

}  // namespace

MemoryCeiling::MemoryCeiling(int threads)
    : threads_(threads), x_(new float[kCount]), y_(new float[kCount]) {
  std::fill_n(x_.get(), kCount, 1.0f);
  std::fill_n(y_.get(), kCount, 1.0f);
}

MemoryCeiling::~MemoryCeiling() = default;

void MemoryCeiling::Round(double (*clock)()) {
  float *const x = x_.get(), *const y = y_.get();
  double start = clock();
#pragma omp parallel for num_threads(threads_) schedule(static)
  for (int64_t i = 0; i < kCount; ++i) y[i] = x[i];
  best_ = std::max(best_, 2.0 * 4 * kCount / (clock() - start));
  start = clock();
#pragma omp parallel for num_threads(threads_) schedule(static)
  for (int64_t i = 0; i < kCount; ++i) y[i] += x[i];
  best_ = std::max(best_, 3.0 * 4 * kCount / (clock() - start));
}

}  // namespace moat::bench
