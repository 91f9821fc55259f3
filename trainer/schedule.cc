// The learning rate's schedule.
#include "trainer/schedule.h"

#include <algorithm>
#include <cmath>

namespace moat::trainer {

double LearningRate(const configs::TrainConfig& c, int64_t step) {
  if (step <= c.warmup) return c.lr * static_cast<double>(step) / static_cast<double>(c.warmup);
  const double length = static_cast<double>(std::max<int64_t>(1, c.steps - c.warmup));
  const double progress = std::min(1.0, static_cast<double>(step - c.warmup) / length);
  return c.lr * (c.min_lr + (1 - c.min_lr) * 0.5 * (1 + std::cos(M_PI * progress)));
}

}  // namespace moat::trainer
