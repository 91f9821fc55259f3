// The best rate at which this process moves bytes between memory and cores: what ops that are not
// products are measured against.
#pragma once

#include <memory>

namespace moat::bench {

// Times two plain loops over memory far larger than the caches, and keeps the best: y = x, and
// y += x. Bytes are those that the loop names: read and written.
class MemoryCeiling {
 public:
  explicit MemoryCeiling(int threads);
  ~MemoryCeiling();

  void Round(double (*clock)());                     // between other measurements
  double bytes_per_second() const { return best_; }  // 0 before the first round

 private:
  int threads_;
  double best_ = 0;
  std::unique_ptr<float[]> x_, y_;
};

}  // namespace moat::bench
