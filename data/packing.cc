// Best-fit-decreasing packing (Johnson, 1973).
#include "data/packing.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace moat::data {
namespace {

// The row each rest goes to, given their slots in falling order; the number of rows. A block has
// at most kBlockInteractions rests, so a plain scan beats any tree.
int64_t Fit(const std::vector<Piece>& rests, int64_t seq_len, std::vector<int64_t>* row_of) {
  std::vector<int64_t> room;  // of each row
  for (const Piece& piece : rests) {
    size_t best = room.size();
    int64_t least = seq_len + 1;
    for (size_t row = 0; row < room.size(); ++row) {
      if (room[row] >= piece.slots && room[row] < least) {
        best = row;
        least = room[row];
      }
    }
    if (best == room.size()) room.push_back(seq_len);
    room[best] -= piece.slots;
    if (row_of) row_of->push_back(static_cast<int64_t>(best));
  }
  return static_cast<int64_t>(room.size());
}

// What is left of each interaction after its full pieces, longest first, ties by position.
std::vector<Piece> RestsOf(std::span<const int64_t> lengths, int64_t seq_len) {
  std::vector<Piece> rests;
  for (size_t i = 0; i < lengths.size(); ++i) {
    const int64_t slots = lengths[i] - 1;
    const int64_t rest = slots % seq_len;
    if (rest > 0) rests.push_back({static_cast<int64_t>(i), slots - rest, rest});
  }
  std::sort(rests.begin(), rests.end(), [](const Piece& a, const Piece& b) {
    return a.slots != b.slots ? a.slots > b.slots : a.interaction < b.interaction;
  });
  return rests;
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
  const std::vector<Piece> rests = RestsOf(lengths, seq_len);
  std::vector<int64_t> row_of;
  const int64_t added = Fit(rests, seq_len, &row_of);
  std::vector<int64_t> next(static_cast<size_t>(added) + 1, 0);  // where a row's next piece goes
  for (const int64_t row : row_of) ++next[static_cast<size_t>(row) + 1];
  std::partial_sum(next.begin(), next.end(), next.begin());
  const size_t full = rows.pieces.size();
  rows.pieces.resize(full + rests.size());
  for (size_t i = 1; i < next.size(); ++i) {
    rows.first_piece.push_back(static_cast<int64_t>(full) + next[i]);
  }
  for (size_t i = 0; i < rests.size(); ++i) {
    const auto at = static_cast<size_t>(next[static_cast<size_t>(row_of[i])]++);
    rows.pieces[full + at] = rests[i];
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
