// Packing: which pieces of a block's interactions share a row. A pure function of their lengths.
#pragma once

#include <cstdint>
#include <vector>

namespace moat::data {

// Consecutive prediction slots of one interaction: slot s reads token s and predicts token s + 1.
struct Piece {
  int64_t interaction = 0;  // within the block
  int64_t first_slot = 0;
  int64_t slots = 0;

  bool operator==(const Piece&) const = default;
};

using Row = std::vector<Piece>;  // left to right; together at most seq_len slots

// Rows for interactions of the given lengths (tokens, each at least 2). An interaction of L tokens
// has L - 1 slots, cut into pieces of seq_len slots and a rest, so that every next-token prediction
// happens exactly once. Best fit, longest pieces first, ties by position: deterministic.
std::vector<Row> PackBlock(const std::vector<int64_t>& lengths, int64_t seq_len);

}  // namespace moat::data
