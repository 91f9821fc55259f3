// The learning rate: linear warm-up, then half a cosine down to min_lr x lr.
#pragma once

#include <cstdint>

#include "configs/train_config.h"

namespace moat::trainer {

// Of update `step`, counted from 1. Loshchilov and Hutter, "SGDR", 2017, eq. 5, one period.
double LearningRate(const configs::TrainConfig& config, int64_t step);

}  // namespace moat::trainer
