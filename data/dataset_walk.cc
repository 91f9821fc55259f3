// Walking a data set.
#include "data/dataset_walk.h"

#include "core/error.h"
#include "data/chat_template.h"
#include "data/windows.h"

namespace moat::data {

void WalkSplit(const Dataset& dataset, const std::string& split,
               const std::function<void(const StoredInteractions&, const StoredKeys&)>& visit) {
  for (const ShardEntry& entry : dataset.ShardsOf(split)) {
    const ShardReader reader(dataset.directory(), entry, dataset.vocab_size());
    for (const ShardWindow& window : WindowsOf(reader, nullptr)) {
      visit(reader.ReadInteractions(window.first, window.count),
            reader.ReadKeys(window.first, window.count));
    }
  }
}

StoredInteractions ReadOne(const Dataset& dataset, const std::string& split, int64_t number,
                           StoredKeys* keys) {
  int64_t first = 0;
  for (const ShardEntry& entry : dataset.ShardsOf(split)) {
    if (number >= first && number < first + entry.interactions) {
      const ShardReader reader(dataset.directory(), entry, dataset.vocab_size());
      *keys = reader.ReadKeys(number - first, 1);
      return reader.ReadInteractions(number - first, 1);
    }
    first += entry.interactions;
  }
  throw core::ConfigError("no interaction " + std::to_string(number) + ": the " + split +
                          " split of " + dataset.directory().string() + " has " +
                          std::to_string(first) + ", numbered from 0");
}

void ForEachScoredSlot(const StoredInteractions& data,
                       const std::function<void(int32_t, int32_t, float)>& score) {
  for (int64_t i = 0; i < data.size(); ++i) {
    const int64_t end_segment = data.first_segment[static_cast<size_t>(i) + 1];
    for (int64_t s = data.first_segment[static_cast<size_t>(i)]; s < end_segment; ++s) {
      const auto segment = static_cast<size_t>(s);
      const bool scored =
          data.role[segment] == Role::kAssistant || data.role[segment] == Role::kText;
      if (!scored || data.weight[segment] <= 0) continue;
      const bool first = s == data.first_segment[static_cast<size_t>(i)];
      for (int64_t t = data.segment_start[segment] + HeaderTokens(first);
           t < data.segment_start[segment + 1]; ++t) {
        const auto at = static_cast<size_t>(t);
        score(data.tokens[at - 1], data.tokens[at], data.weight[segment]);
      }
    }
  }
}

}  // namespace moat::data
