// The triad.
#include "programs/moat_probe/memory.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "core/clock.h"
#include "core/error.h"
#include "programs/moat_probe/team.h"

namespace moat::programs {
namespace {

constexpr int64_t kCount = int64_t{1} << 24;  // 128 MiB an array

struct FreeMemory {
  void operator()(double* memory) const { std::free(memory); }
};
using Array = std::unique_ptr<double, FreeMemory>;

Array Allocate() {
  Array array(static_cast<double*>(std::aligned_alloc(64, kCount * sizeof(double))));
  if (!array) throw core::OutOfMemoryError("out of memory: the memory probe needs 384 MiB");
  return array;
}

}  // namespace

double MeasureMemory(int threads, double seconds) {
  const Team team(threads);
  const Array a_owner = Allocate(), b_owner = Allocate(), c_owner = Allocate();
  double* const a = a_owner.get();
  double* const b = b_owner.get();
  double* const c = c_owner.get();
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < kCount; ++i) {  // first touch by the thread that will work on it
    a[i] = 0;
    b[i] = 1;
    c[i] = 2;
  }
  double best = 1e30;
  const double end = core::MonotonicSeconds() + seconds;
  for (int round = 0; round < 3 || core::MonotonicSeconds() < end; ++round) {
    const double start = core::MonotonicSeconds();
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < kCount; ++i) a[i] = b[i] + 0.5 * c[i];
    best = std::min(best, core::MonotonicSeconds() - start);
  }
  MOAT_CHECK(a[kCount / 2] == 2, "the triad's result");
  return 3e-9 * static_cast<double>(kCount * static_cast<int64_t>(sizeof(double))) / best;
}

}  // namespace moat::programs
