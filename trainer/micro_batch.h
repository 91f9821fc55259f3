// What the stream of samples gives, as the model takes it.
#pragma once

#include "data/batch.h"
#include "model/transformer.h"

namespace moat::trainer {

// Lends the batch's arrays; the batch must outlive the view.
inline model::MicroBatch ViewOf(const data::Batch& batch) {
  return {batch.rows,           batch.tokens.data(),     batch.targets.data(),
          batch.weights.data(), batch.span_start.data(), batch.samples.data()};
}

}  // namespace moat::trainer
