// Best-fit-decreasing packing (Johnson, 1973).
#include "data/packing.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/error.h"

namespace moat::data {

std::vector<Row> PackBlock(const std::vector<int64_t>& lengths, int64_t seq_len) {
  MOAT_CHECK(seq_len > 0, "seq_len is positive");
  std::vector<Piece> pieces;
  for (size_t i = 0; i < lengths.size(); ++i) {
    for (int64_t slot = 0; slot < lengths[i] - 1; slot += seq_len) {
      pieces.push_back({static_cast<int64_t>(i), slot, std::min(seq_len, lengths[i] - 1 - slot)});
    }
  }
  std::stable_sort(pieces.begin(), pieces.end(),
                   [](const Piece& a, const Piece& b) { return a.slots > b.slots; });
  std::vector<Row> rows;
  std::set<std::pair<int64_t, size_t>> open;  // free slots, row
  for (const Piece& piece : pieces) {
    const auto best = open.lower_bound({piece.slots, 0});
    size_t row = rows.size();
    int64_t room = seq_len;
    if (best != open.end()) {
      std::tie(room, row) = *best;
      open.erase(best);
    } else {
      rows.emplace_back();
    }
    rows[row].push_back(piece);
    if (room > piece.slots) open.emplace(room - piece.slots, row);
  }
  return rows;
}

}  // namespace moat::data
