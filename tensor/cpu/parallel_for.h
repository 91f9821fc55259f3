// ParallelFor: fixed tasks over a stream's threads.
//
// What a task computes never depends on which thread runs it, so results do not depend on the
// number of threads. oneDNN called inside a task always runs sequentially.
#pragma once

#include <cstdint>

#ifdef _OPENMP
#include <omp.h>
#endif

#include "tensor/stream.h"

namespace moat::tensor::cpu {

// While it lives, libraries that this thread calls use no threads of their own.
class OneThread {
 public:
#ifdef _OPENMP
  OneThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }

 private:
  int before_;
#else
  OneThread() {}  // user-provided: a variable of it counts as used
#endif
};

// body(task, thread) for each task in [0, tasks), 0 <= thread < stream.threads().
template <typename Body>
void ParallelFor(int64_t tasks, const Stream& stream, const Body& body) {
#ifdef _OPENMP
  if (stream.threads() > 1) {
#pragma omp parallel num_threads(stream.threads())
    {
      const int thread = omp_get_thread_num();
#pragma omp for schedule(dynamic)
      for (int64_t task = 0; task < tasks; ++task) body(task, thread);
    }
    return;
  }
#endif
  // A team of one is not a parallel region to oneDNN, which would then start its own threads.
  const OneThread alone;
  for (int64_t task = 0; task < tasks; ++task) body(task, 0);
}

// body(begin, end) over [0, count) in fixed blocks of `block`.
template <typename Body>
void ParallelBlocks(int64_t count, int64_t block, const Stream& stream, const Body& body) {
  ParallelFor((count + block - 1) / block, stream, [&](int64_t task, int) {
    const int64_t begin = task * block;
    body(begin, begin + block < count ? begin + block : count);
  });
}

}  // namespace moat::tensor::cpu
