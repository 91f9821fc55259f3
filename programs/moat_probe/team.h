// The number of threads that OpenMP, and so oneDNN, works with while this lives.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

namespace moat::programs {

class Team {
 public:
#ifdef _OPENMP
  explicit Team(int threads) : before_(omp_get_max_threads()) { omp_set_num_threads(threads); }
  ~Team() { omp_set_num_threads(before_); }
#else
  explicit Team(int) {}
#endif
  Team(const Team&) = delete;

 private:
#ifdef _OPENMP
  int before_;
#endif
};

}  // namespace moat::programs
