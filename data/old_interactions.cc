// Shard by shard, window by window.
#include "data/old_interactions.h"

#include "data/chat_template.h"

namespace moat::data {

OldInteractions::OldInteractions(const Dataset& dataset)
    : dataset_(dataset), tokenizer_(Tokenizer::Load(dataset.tokenizer_path())) {}

bool OldInteractions::LoadWindow() {
  while (next_window_ == windows_.size()) {
    if (next_shard_ == dataset_.shards().size()) return false;
    reader_ = std::make_unique<ShardReader>(dataset_.directory(), dataset_.shards()[next_shard_++],
                                            dataset_.vocab_size());
    windows_ = WindowsOf(*reader_, nullptr);
    next_window_ = 0;
  }
  const ShardWindow& window = windows_[next_window_++];
  run_ = reader_->ReadInteractions(window.first, window.count);
  keys_ = reader_->ReadKeys(window.first, window.count);
  at_ = 0;
  size_ = window.count;
  return true;
}

bool OldInteractions::Next(OldInteraction* old) {
  do {
    if (at_ == size_ && !LoadWindow()) return false;
  } while (keys_.id[static_cast<size_t>(at_++)] == 0);  // a blank
  const auto at = static_cast<size_t>(at_ - 1);
  old->user = keys_.user[at] == keys_.id[at] ? 0 : keys_.user[at];
  old->side = SideOfSplit(reader_->entry().split);
  old->interaction = {};
  old->interaction.time_micros = keys_.time[at];
  const int64_t first = run_.first_segment[at];
  for (int64_t s = first; s < run_.first_segment[at + 1]; ++s) {
    const auto segment = static_cast<size_t>(s);
    const auto begin = run_.tokens.begin() + run_.segment_start[segment] + HeaderTokens(s == first);
    const auto end = run_.tokens.begin() + run_.segment_start[segment + 1] - 1;  // <|end|>
    old->interaction.segments.push_back(
        {run_.role[segment], run_.weight[segment], tokenizer_.Decode({begin, end})});
  }
  const Segment& start = old->interaction.segments.front();
  if (start.role == Role::kSystem) old->interaction.path = start.text;
  return true;
}

}  // namespace moat::data
