// What makes a run the same run, and whether it can start where its flags say.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "configs/command_line.h"
#include "configs/train_config.h"
#include "rundir/layout.h"

namespace moat::launch {

// Throws ConfigError, with both values of every flag that differs, when `wanted` is not the run
// whose run.flags is there. Returns notes about changes that are allowed and yet matter: those that
// end the chain of equal bits, once the run has done a step. Without the file it is a new run.
std::vector<std::string> CheckSameRun(const rundir::RunLayout& run,
                                      const configs::CommandLine& wanted);

// Throws ConfigError, listing the steps that are saved in `checkpoints`, where --resume=never finds
// some, --resume=STEP does not find STEP, or --steps lies before the newest step there is.
void CheckStart(const std::filesystem::path& checkpoints, const configs::TrainConfig& config);

// Throws ConfigError, naming the first of `data` that is no data set.
void CheckData(const std::vector<std::string>& data);
// The size of the vocabulary of the first of `data`, which all of a run's share; nullopt where it
// is no data set. Throws DataError, naming the index, where that does not say it.
std::optional<int64_t> VocabularyOf(const std::vector<std::string>& data);

// Of the run's own line of `checkpoints`, -1: there is none. Whether it is intact, the ranks find
// out, and say why where the directory cannot be read.
int64_t NewestStep(const std::filesystem::path& checkpoints);

// The newest step that the run can go on from, as far as a launcher can tell, -1: none. With
// --local_checkpoint_dir that is the last one done: its copies lie where only the ranks see them.
int64_t KeptStep(const configs::TrainConfig& config, const rundir::RunLayout& layout);
// The last step done, by metrics.jsonl; 0: none.
int64_t LastStep(const rundir::RunLayout& layout);

}  // namespace moat::launch
