// Best-fit-decreasing packing (Johnson, 1973).
#include "data/packing.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "core/error.h"

namespace moat::data {
namespace {

// Numbers with an index below them, so that one comparison orders by both.
constexpr int kIndexBits = 20;
constexpr uint64_t kIndexMask = (uint64_t{1} << kIndexBits) - 1;
uint64_t Key(int64_t number, uint64_t index) {
  return static_cast<uint64_t>(number) << kIndexBits | index;
}
int64_t NumberOf(uint64_t key) { return static_cast<int64_t>(key >> kIndexBits); }

// What is left of each interaction after its full pieces, longest first, ties by position: keys of
// slots and of the interaction, counted down.
std::vector<uint64_t> RestsOf(std::span<const int64_t> lengths, int64_t seq_len) {
  MOAT_CHECK(lengths.size() <= kIndexMask, "a block");
  std::vector<uint64_t> rests;
  rests.reserve(lengths.size());
  for (size_t i = 0; i < lengths.size(); ++i) {
    const int64_t slots = lengths[i] - 1;
    const int64_t rest = slots < seq_len ? slots : slots % seq_len;
    if (rest > 0) rests.push_back(Key(rest, kIndexMask - i));
  }
  std::sort(rests.begin(), rests.end(), std::greater<>());
  return rests;
}
size_t InteractionOf(uint64_t rest) { return kIndexMask - (rest & kIndexMask); }

// The row each rest goes to; the number of rows. A block has at most kBlockInteractions rests, so a
// plain scan without branches beats any tree.
int64_t Fit(const std::vector<uint64_t>& rests, int64_t seq_len, std::vector<size_t>* row_of) {
  std::vector<uint64_t> room;  // keys of what is free in each row, and the row
  room.reserve(rests.size());
  if (row_of) row_of->reserve(rests.size());
  for (const uint64_t rest : rests) {
    const uint64_t slots = rest & ~kIndexMask;
    uint64_t best = UINT64_MAX;
    for (const uint64_t key : room) best = std::min(best, key >= slots ? key : UINT64_MAX);
    if (best == UINT64_MAX) {
      best = Key(seq_len, room.size());
      room.push_back(best);
    }
    const size_t row = best & kIndexMask;
    room[row] -= slots;
    if (row_of) row_of->push_back(row);
  }
  return static_cast<int64_t>(room.size());
}

int64_t ConcatSlots(std::span<const int64_t> lengths) {
  return std::accumulate(lengths.begin(), lengths.end(), int64_t{0}) - 1;
}

void AddRow(const Piece& piece, Rows* rows) {
  rows->pieces.push_back(piece);
  rows->first_piece.push_back(static_cast<int64_t>(rows->pieces.size()));
}

Rows PackSeparately(std::span<const int64_t> lengths, int64_t seq_len) {
  Rows rows;
  for (size_t i = 0; i < lengths.size(); ++i) {
    for (int64_t slot = 0; slot + seq_len < lengths[i]; slot += seq_len) {
      AddRow({static_cast<int64_t>(i), slot, seq_len}, &rows);
    }
  }
  const std::vector<uint64_t> rests = RestsOf(lengths, seq_len);
  std::vector<size_t> row_of;
  const int64_t added = Fit(rests, seq_len, &row_of);
  std::vector<int64_t> next(static_cast<size_t>(added) + 1, 0);  // where a row's next piece goes
  for (const size_t row : row_of) ++next[row + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  const size_t full = rows.pieces.size();
  rows.pieces.resize(full + rests.size());
  for (size_t i = 1; i < next.size(); ++i) {
    rows.first_piece.push_back(static_cast<int64_t>(full) + next[i]);
  }
  for (size_t i = 0; i < rests.size(); ++i) {
    const size_t interaction = InteractionOf(rests[i]);
    const int64_t slots = NumberOf(rests[i]);
    rows.pieces[full + static_cast<size_t>(next[row_of[i]]++)] = {
        static_cast<int64_t>(interaction), lengths[interaction] - 1 - slots, slots};
  }
  return rows;
}

Rows PackConcatenated(std::span<const int64_t> lengths, int64_t seq_len) {
  Rows rows;
  const int64_t slots = ConcatSlots(lengths);
  for (int64_t slot = 0; slot < slots; slot += seq_len) {
    AddRow({0, slot, std::min(seq_len, slots - slot)}, &rows);
  }
  return rows;
}

}  // namespace

const char* Name(PackMode mode) { return mode == PackMode::kSeparate ? "separate" : "concat"; }

Rows PackBlock(std::span<const int64_t> lengths, const Packing& packing) {
  MOAT_CHECK(packing.seq_len > 0, "seq_len is positive");
  return packing.mode == PackMode::kSeparate ? PackSeparately(lengths, packing.seq_len)
                                             : PackConcatenated(lengths, packing.seq_len);
}

int64_t CountRows(std::span<const int64_t> lengths, const Packing& packing) {
  MOAT_CHECK(packing.seq_len > 0, "seq_len is positive");
  if (packing.mode == PackMode::kConcat) {
    return (ConcatSlots(lengths) + packing.seq_len - 1) / packing.seq_len;
  }
  int64_t full = 0;
  for (const int64_t length : lengths) full += (length - 1) / packing.seq_len;
  return full + Fit(RestsOf(lengths, packing.seq_len), packing.seq_len, nullptr);
}

}  // namespace moat::data
