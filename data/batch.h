// A micro-batch as the model takes it: B rows of T prediction slots.
#pragma once

#include <cstdint>
#include <vector>

namespace moat::data {

// All vectors have rows * seq_len entries, row-major.
//
// Slot t of a row reads token `tokens` and predicts token `targets`, the next one of the same
// interaction. Attention of slot t sees slots [span_start[t], t] of its row and its position is t -
// span_start[t]: interactions packed into one row never see each other. A slot of padding has token
// 0, target 0, weight 0 and a span of its own.
struct Batch {
  int64_t rows = 0;
  int64_t seq_len = 0;
  std::vector<int32_t> tokens;
  std::vector<int32_t> targets;
  std::vector<float> weights;  // of the target token in the loss; 0 where nothing is to be learned
  std::vector<int32_t> span_start;  // within the row
  std::vector<uint64_t>
      samples;  // [rows] global sample numbers: the run's, whatever data set a row is of
  // Order-independent hash of what is fed: the sum over rows of Mix64(sample number, CRC32C of the
  // row's tokens, targets, weights, span_start), modulo 2^64. Sums over any split of the same rows
  // are equal.
  uint64_t content_hash = 0;
};

}  // namespace moat::data
