// Spans for tests of attention.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/ops.h"

namespace moat::testing {

// Of every second row spans of uneven lengths, some of one slot, up to 6 x step + 1 slots;
// of the others one span.
inline std::vector<int32_t> UnevenSpans(const tensor::AttentionShape& s, int32_t step) {
  std::vector<int32_t> spans;
  for (int64_t row = 0; row < s.rows; ++row) {
    int32_t start = 0;
    for (int32_t t = 0; t < s.seq_len; ++t) {
      if (row % 2 == 1 && t - start > (t % 7) * step) start = t;
      spans.push_back(start);
    }
  }
  return spans;
}

}  // namespace moat::testing
