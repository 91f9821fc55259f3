// Silent corruption: what several ranks hold alike must be alike.
//
// A flipped bit in one rank's memory would train on for days, and be saved by whichever rank writes
// that range. Ranks of a data group hold the same weights, and the same moments unless they share
// them out (--zero=1); ranks of a tensor group hold the same replicated parameters, and some of
// them the same key and value heads; every --check_replicas_every steps, and before a save, they
// compare hashes.
#pragma once

#include <string>
#include <vector>

#include "model/transformer.h"
#include "trainer/optimizer.h"
#include "trainer/rank_groups.h"

namespace moat::trainer {

// What one rank holds, as hashes: all of it, what every tensor rank holds, and what its consecutive
// `copies` tensor ranks hold.
struct ReplicaHashes {
  uint32_t all = 0;
  uint32_t replicated = 0;
  uint32_t shared = 0;
};
// How many tensor ranks hold the same key and value heads.
int CopiesOf(const model::Transformer& model);
ReplicaHashes HashesOf(model::Transformer& model, Optimizer& optimizer);

// The ranks that differ from most of their peers, or all of a group of two that differ: nobody
// knows which of them is right. `ranks` in world order, rank = dp_index * tp + tp_index.
std::vector<int> OddRanks(const std::vector<ReplicaHashes>& ranks, int tp, int copies);

// Collective over the world. Throws core::Error (kNode, 69) on all ranks, naming the odd ones.
void CheckReplicas(model::Transformer& model, Optimizer& optimizer, const RankGroups& groups,
                   int64_t step);

}  // namespace moat::trainer
