// RunState: everything a run needs to go on, to and from checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "checkpoint/checkpoint.h"
#include "model/transformer.h"
#include "trainer/optimizer.h"
#include "trainer/rank_groups.h"

namespace moat::trainer {

struct BestEvaluation {
  int64_t step = 0;  // 0: none yet
  double loss = 0;
};

// The numbers beside the tensors.
struct RunProgress {
  int64_t step = 0;          // updates asked for so far, skipped ones included
  uint64_t sample_hash = 0;  // running hash of what was fed: h = Mix64(h + fed), step by step
  BestEvaluation best;
  std::string run_id;  // random, made when the run begins
  std::vector<std::string> lineage;
};

// What may not change between two attempts: names and values (flags, digests). Kept in each
// checkpoint.
using Identity = std::map<std::string, std::string>;

// Tensors are "model.<parameter>", "adam_m.<parameter>", "adam_v.<parameter>".
// Collective over the world. Each rank writes its optimizer range, of what its tensor rank holds,
// of all three: replicated state is written once. Returns the committed directory.
std::filesystem::path SaveState(const checkpoint::SaveOptions& options, const RunProgress& progress,
                                const Identity& identity, model::Transformer& model,
                                Optimizer& optimizer, const RankGroups& groups);

// Loads this tensor rank's part of a checkpoint, whatever grid wrote it. Throws ConfigError with
// both values where the identity differs, DataError where bytes do. Not collective.
RunProgress LoadState(const std::filesystem::path& directory, const Identity& identity,
                      model::Transformer& model, Optimizer& optimizer);

// The weights only, for evaluation and generation.
void LoadWeights(const std::filesystem::path& directory, model::Transformer& model);

// What a checkpoint says of itself, without its tensors.
RunProgress ReadProgress(const checkpoint::Manifest& manifest);
Identity ReadIdentity(const checkpoint::Manifest& manifest);

}  // namespace moat::trainer
