// Loading windows.
#include "data/window_store.h"

#include <algorithm>

#include "core/error.h"
#include "data/chat_template.h"

namespace moat::data {

std::span<const PlacedPiece> LoadedWindow::Row(int64_t row) const {
  const auto begin = static_cast<size_t>(first_piece[static_cast<size_t>(row)]);
  const auto end = static_cast<size_t>(first_piece[static_cast<size_t>(row) + 1]);
  return std::span(pieces).subspan(begin, end - begin);
}

namespace {

// The segment of `token`, which lies in `interaction` or behind it.
int32_t SegmentOf(const StoredRun& run, int64_t interaction, int64_t token) {
  const auto from = run.segment_start.begin() + run.first_segment[static_cast<size_t>(interaction)];
  if (token < from[1]) return static_cast<int32_t>(from - run.segment_start.begin());
  const auto behind = std::upper_bound(from, run.segment_start.end(), token);
  return static_cast<int32_t>(behind - run.segment_start.begin() - 1);
}

// Packs the window's blocks, one after the other.
void Pack(const Packing& packing, LoadedWindow* window) {
  const StoredRun& run = window->run;
  std::vector<int64_t> lengths;
  window->first_piece = {0};
  for (int64_t begin = 0; begin < run.size(); begin += kBlockInteractions) {
    const int64_t end = std::min(begin + kBlockInteractions, run.size());
    lengths.clear();
    for (int64_t i = begin; i < end; ++i) {
      lengths.push_back(run.TokenStart(i + 1) - run.TokenStart(i));
    }
    const Rows rows = PackBlock(lengths, packing);
    const auto before = static_cast<int64_t>(window->pieces.size());
    for (const Piece& piece : rows.pieces) {
      const int64_t interaction = begin + piece.interaction;
      const int64_t first_token = run.TokenStart(interaction) + piece.first_slot;
      window->pieces.push_back({first_token, static_cast<int32_t>(piece.slots),
                                SegmentOf(run, interaction, first_token + 1)});
    }
    for (size_t row = 1; row < rows.first_piece.size(); ++row) {
      window->first_piece.push_back(before + rows.first_piece[row]);
    }
  }
}

}  // namespace

WindowStore::WindowStore(const Dataset& dataset, const std::string& split, const Packing& packing)
    : packing_(packing) {
  for (const ShardEntry& entry : dataset.ShardsOf(split)) {
    shards_.emplace_back(dataset.directory(), entry, dataset.vocab_size());
  }
  if (shards_.empty()) {
    throw core::DataError(dataset.directory().string() + ": the " + split +
                          " split is empty: import more data, or raise --validation_fraction");
  }
  table_ = OpenPackingTable(dataset.directory(), shards_, packing);
}

std::vector<int64_t> WindowStore::RowsPerWindow() const {
  std::vector<int64_t> rows;
  for (const SplitWindow& entry : table_) rows.push_back(entry.window.rows);
  return rows;
}

WindowStore::Loaded WindowStore::Load(int64_t window) const {
  const SplitWindow& place = table_[static_cast<size_t>(window)];
  const ShardReader& shard = shards_[static_cast<size_t>(place.shard)];
  auto loaded = std::make_shared<LoadedWindow>();
  loaded->run = shard.ReadRun(place.window.first, place.window.count);
  loaded->header.assign(loaded->run.role.size(), HeaderTokens(false));
  for (int64_t i = 0; i < loaded->run.size(); ++i) {
    loaded->header[static_cast<size_t>(loaded->run.first_segment[static_cast<size_t>(i)])] =
        HeaderTokens(true);
  }
  Pack(packing_, loaded.get());
  if (static_cast<int64_t>(loaded->first_piece.size()) - 1 != place.window.rows) {
    throw core::DataError(shard.entry().file + ": the shard changed while it was in use");
  }
  return loaded;
}

std::shared_ptr<const LoadedWindow> WindowStore::Get(int64_t window) const {
  std::promise<Loaded> promise;
  std::shared_future<Loaded> loaded;
  {
    const std::lock_guard lock(mutex_);
    const auto found = cached_.find(window);
    if (found != cached_.end()) {
      recent_.splice(recent_.begin(), recent_, found->second);
      loaded = found->second->loaded;
    } else {
      recent_.push_front({window, promise.get_future().share()});
      cached_[window] = recent_.begin();
      if (recent_.size() > kKept) {
        cached_.erase(recent_.back().window);
        recent_.pop_back();
      }
    }
  }
  if (loaded.valid()) return loaded.get();  // another thread's error is this one's too
  try {
    Loaded mine = Load(window);
    promise.set_value(mine);
    return mine;
  } catch (...) {
    Forget(window);  // the next one to ask tries again
    promise.set_exception(std::current_exception());
    throw;
  }
}

void WindowStore::Forget(int64_t window) const {
  const std::lock_guard lock(mutex_);
  const auto found = cached_.find(window);
  if (found == cached_.end()) return;
  recent_.erase(found->second);
  cached_.erase(found);
}

}  // namespace moat::data
