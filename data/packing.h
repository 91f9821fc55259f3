// Packing: which slots of a block's interactions share a row. A pure function of their lengths.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace moat::data {

// The unit of packing: at most this many consecutive interactions of one shard. Blocks never span
// shards, so appending shards leaves every earlier block as it was.
inline constexpr int64_t kBlockInteractions = 64;

enum class PackMode {
  kSeparate,  // interactions share rows, but never see each other
  kConcat,    // the block is one long stream, cut into rows: attention crosses interactions
};
const char* Name(PackMode mode);

struct Packing {
  int64_t seq_len = 256;
  PackMode mode = PackMode::kSeparate;

  bool operator==(const Packing&) const = default;
};

// Consecutive prediction slots: slot s reads token s of the interaction and predicts token s + 1.
// Under kConcat a piece may run on into the interactions that follow.
struct Piece {
  int64_t interaction = 0;  // within the block
  int64_t first_slot = 0;
  int64_t slots = 0;

  bool operator==(const Piece&) const = default;
};

// Rows of at most seq_len slots, and the pieces of each from left to right.
struct Rows {
  std::vector<Piece> pieces;               // row by row
  std::vector<int64_t> first_piece = {0};  // [rows + 1]

  int64_t size() const { return static_cast<int64_t>(first_piece.size()) - 1; }
  std::span<const Piece> operator[](int64_t row) const {
    const auto begin = static_cast<size_t>(first_piece[static_cast<size_t>(row)]);
    const auto end = static_cast<size_t>(first_piece[static_cast<size_t>(row) + 1]);
    return std::span(pieces).subspan(begin, end - begin);
  }
};

// Rows for interactions of the given lengths (tokens, each at least 2).
//
// Separate: an interaction of L tokens has L - 1 slots, cut into pieces of seq_len slots and a
// rest, so that every next-token prediction happens exactly once. Full pieces are rows of their
// own; rests follow, best fit, longest first, ties by position.
//
// Concat: the block's T tokens have T - 1 slots, cut every seq_len: row r is one piece that starts
// at slot r * seq_len of interaction 0.
Rows PackBlock(std::span<const int64_t> lengths, const Packing& packing);

// PackBlock(lengths, packing).size(), without making the rows.
int64_t CountRows(std::span<const int64_t> lengths, const Packing& packing);

}  // namespace moat::data
