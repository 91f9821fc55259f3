// Walks the interactions of a split in order, a bounded number at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "data/dataset.h"
#include "data/shard_reader.h"

namespace moat::data {

// Calls `visit` with consecutive runs of interactions of every shard of the split, CRCs checked.
void WalkSplit(const Dataset& dataset, const std::string& split,
               const std::function<void(const StoredInteractions&, const StoredKeys&)>& visit);

// One interaction of a split, by its number in the split. Throws ConfigError when there is none.
StoredInteractions ReadOne(const Dataset& dataset, const std::string& split, int64_t number,
                           StoredKeys* keys);

// The slots that evaluation scores by default (assistant and text): calls `score(previous, target,
// weight)` for every target token of positive weight, in order.
void ForEachScoredSlot(const StoredInteractions& interactions,
                       const std::function<void(int32_t, int32_t, float)>& score);

}  // namespace moat::data
