// RunState: everything a run needs to go on, to and from checkpoints.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "checkpoint/candidates.h"
#include "model/transformer.h"
#include "trainer/optimizer.h"

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

// What this rank writes: its optimizer parts, of what its tensor rank holds, of all three tensors;
// together the world's ranks name every element once.
std::vector<checkpoint::SliceToSave> SlicesToSave(const model::Transformer& model,
                                                  const Optimizer& optimizer);

// What a checkpoint says beside the tensors; `grid` is JSON, for people.
checkpoint::RunPosition PositionOf(const RunProgress& progress, const Identity& identity,
                                   const std::string& grid, const Optimizer& optimizer);

// Collective over the world: loads what each rank holds, whatever grid wrote it. Throws ConfigError
// with both values where the identity differs, and what checkpoint::Deliver throws.
RunProgress LoadState(const checkpoint::Candidate& from, const Identity& identity,
                      const model::Transformer& model, Optimizer& optimizer,
                      comm::Communicator& world);

// The weights only: to go on training with, collective over the world; or for evaluation and
// generation, where nothing is collective; `stream` is the model's then.
void LoadWeights(const checkpoint::Candidate& from, const model::Transformer& model,
                 Optimizer& optimizer, comm::Communicator& world);
void LoadWeights(const std::filesystem::path& directory, model::Transformer& model,
                 tensor::Stream& stream);

// What a checkpoint says of itself, without its tensors.
RunProgress ReadProgress(const checkpoint::Manifest& manifest);
Identity ReadIdentity(const checkpoint::Manifest& manifest);
// The kind of device that wrote it: "cpu" or "cuda".
std::string DeviceOf(const checkpoint::Manifest& manifest);

}  // namespace moat::trainer
