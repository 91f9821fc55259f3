// Where an attempt starts: which of its checkpoints, which version of its data, whose weights.
//
// Goals: a run reads the version of the data it began with, also after the data set has grown or
// forgotten somebody; a new run may begin with what another has learned. Not a goal: moving a run
// to newer data on the way, since its samples would no longer be a function of its flags.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/candidates.h"
#include "comm/communicator.h"
#include "configs/train_config.h"
#include "data/dataset.h"
#include "trainer/run_state.h"

namespace moat::trainer {

// The checkpoint that --resume means. With "auto" it is the newest that proves to be intact while
// it is loaded: its bytes are read once.
class Start {
 public:
  // Collective. `world` outlives this. Throws ConfigError (--resume=never and there are
  // checkpoints in `root`), DataError (that of --resume=STEP is damaged), StorageError (no manifest
  // is intact).
  // `copies`: further candidates of --resume=auto, as checkpoint::Candidates takes them.
  Start(const std::filesystem::path& root, const std::string& resume, comm::Communicator& world,
        std::vector<checkpoint::Candidate> copies = {});

  // nullopt: the run begins.
  const std::optional<checkpoint::Candidate>& checkpoint() const { return checkpoint_; }

  // Collective, when checkpoint() proved to be damaged: says so and goes on to the next older one.
  // Throws StorageError with all reasons when none is left; `error` itself under --resume=STEP.
  template <typename Error>
  void PassOver(const Error& error) {
    if (!candidates_) throw error;
    candidates_->PassOver(error.what());
    checkpoint_ = candidates_->Next();
  }

 private:
  std::optional<checkpoint::Candidates> candidates_;  // --resume=auto
  std::optional<checkpoint::Candidate> checkpoint_;
};

// Collective: what --local_checkpoint_dir still has of steps that the run has not reached its end
// with.
std::vector<checkpoint::Candidate> CopiesToGoOnFrom(const configs::TrainConfig& config,
                                                    const std::filesystem::path& root,
                                                    comm::Communicator& world);

// Collective: the checkpoint of a trained run that is meant: `asked` is "newest", "best", a
// directory, or "" for the best one if it is still there, else the newest. Throws ConfigError where
// there is none.
std::filesystem::path ChooseTrained(const std::filesystem::path& root, const std::string& run,
                                    const std::string& asked, comm::Communicator& world);

// Collective: opens the data sets in the order of --data, each in the version that the checkpoint
// `start`, if there is one, was trained on, else in --data_version, else in the newest. Throws
// ConfigError where both say something else, and DataError where ranks do not read the same or data
// sets do not mix: other tokens, or the same contents twice.
std::vector<data::Dataset> OpenData(const configs::TrainConfig& config,
                                    const std::optional<checkpoint::Candidate>& start,
                                    comm::Communicator& world);

// The part of a run's identity that its data gives: "data version" and "data content" (digests), of
// several data sets in the order of --data with commas; "tokenizer"; and of several "data weights":
// "by size", or their shares, which sum to 1.
Identity DataIdentity(const std::vector<data::Dataset>& datasets,
                      const std::vector<double>& weights);

// What a checkpoint's identity must be for `now` to go on from it: `now`, but for contents that the
// data sets have forgotten since, and names that older checkpoints do not have.
Identity ExpectedIdentity(const Identity& saved, const Identity& now,
                          const std::vector<data::Dataset>& datasets);

// Collective: the checkpoint that --init_from=RUN (its best) or --init_from=DIRECTORY means. Throws
// ConfigError, naming each difference, unless it has the model and tokenizer of `now`.
std::filesystem::path ChooseInitialWeights(const configs::TrainConfig& config, const Identity& now,
                                           comm::Communicator& world);

}  // namespace moat::trainer
