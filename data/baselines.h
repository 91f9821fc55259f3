// What models without learning reach on the validation split, in bits per byte.
//
// Both use the slots a trainer scores by default: assistant and text tokens of positive weight and
// the <|end|> after them; and, as a trainer's evaluation (trainer/evaluation.h), count each of them
// once, whatever its weight.
#pragma once

#include <cstdint>

#include "data/dataset.h"

namespace moat::data {

struct Baselines {
  double bigram_bits_per_byte = 0;  // bits / bytes
  double xz_bits_per_byte = 0;      // 8 (size(train + validation) - size(train)) / bytes
  int64_t scored_tokens = 0;        // of the validation split
  int64_t scored_bytes = 0;         // their text, unweighted
  int64_t train_bytes = 0;          // scored text of the training split that xz saw
};

// Bigram: counts from the training split, interpolation weights tuned on every tenth scored
// segment of it, before those are counted too. xz: liblzma, preset 9e, whose window is 64 MiB: of a
// longer training text it gets the last 64 MiB. Throws DataError when nothing is scored.
Baselines MeasureBaselines(const Dataset& dataset);

}  // namespace moat::data
