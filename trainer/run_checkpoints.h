// RunCheckpoints: when a run saves its state, and what it does when a save fails.
//
// With --async_checkpoints (the default) training stops only while this rank's part of the state is
// copied; a save that becomes due while another is written waits for it, so that the steps saved do
// not depend on the disk. The last save of an attempt copies nothing: nothing changes any more.
//
// A failed save is a warning, and the run tries again before long. The third in a row, or the first
// with --strict_checkpoints, ends the run with StorageError: what was committed before is
// untouched.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "checkpoint/local_tier.h"
#include "checkpoint/saver.h"
#include "comm/communicator.h"
#include "configs/train_config.h"
#include "rundir/layout.h"
#include "rundir/metrics.h"
#include "trainer/run_state.h"

namespace moat::trainer {

class RunCheckpoints {
 public:
  // What a save reports, on rank 0.
  using Report = std::function<void(const rundir::SaveLine&)>;

  // Collective over the world. `start`: what the run has gone on from, or null. Everything given
  // outlives this.
  RunCheckpoints(const configs::TrainConfig& config, const rundir::RunLayout& layout,
                 const Identity& identity, const model::Transformer& model, Optimizer& optimizer,
                 comm::Communicator& world, RunProgress& progress,
                 const checkpoint::Candidate* start, int threads, Report report);

  // What this rank says in a step of the save in flight.
  checkpoint::SaveProgress said() const { return saver_.progress(); }
  bool in_flight() const { return saver_.in_flight(); }
  // Collective, after each step: hears what all ranks said in it.
  void Hear(checkpoint::SaveProgress least, checkpoint::SaveProgress most);

  // Is the state of progress.step to be saved, by the step's number alone?
  bool Due() const;
  // Collective: saves the state of progress.step, unless it is saved or in flight.
  void Save();
  // The same, and returns when it is committed.
  void SaveAndWait();
  // Collective, after each step: a copy on the nodes, where --local_checkpoint_dir asks for one
  // now.
  void CopyToNodes();
  // The target step is reached and saved.
  void End();

 private:
  bool saved() const { return saved_step_ == progress_.step; }
  void Settle(const checkpoint::SaveResult& result);
  void WaitForTheOneInFlight();
  checkpoint::RunPosition Position() const;
  std::vector<int64_t> Protected() const;

  const configs::TrainConfig& config_;
  std::filesystem::path root_;
  const Identity& identity_;
  const model::Transformer& model_;
  Optimizer& optimizer_;
  comm::Communicator& world_;
  RunProgress& progress_;
  int threads_;
  Report report_;
  checkpoint::Saver saver_;
  std::optional<checkpoint::LocalTier> nodes_;
  int64_t saved_step_;     // or in flight
  int64_t best_saved_;     // the newest best step that is committed; 0: none
  int64_t retry_at_ = -1;  // a step
  int failures_ = 0;       // in a row
  double stopped_ = 0;     // seconds that the save in flight has kept training waiting
};

}  // namespace moat::trainer
