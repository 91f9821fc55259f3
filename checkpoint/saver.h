// Saver: the checkpoints of a run, written beside its training.
//
// A save has two halves. Each rank writes and syncs its file; when all have, rank 0 commits. Both
// are done by a thread of low priority that talks to no other rank; training stops only while its
// state is copied. The ranks agree in passing: each says how far it is at every step boundary
// (progress()), the words travel with what the step gathers anyway, and Advance() hears them. So a
// save takes at least two step boundaries, and only one is in flight.
//
// A failed save leaves nothing under a committed name; what was committed before is untouched, and
// training may go on. All ranks must see the same file system.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/rank_file.h"
#include "checkpoint/rank_outcome.h"
#include "checkpoint/snapshot.h"
#include "comm/communicator.h"
#include "core/job_queue.h"

namespace moat::checkpoint {

// How far a rank is with its half of the save in flight. Ordered: of all ranks, the least says
// whether all are through, the greatest whether any has failed.
enum class SaveProgress { kWorking = 0, kDone = 1, kFailed = 2 };

struct SaveResult {
  int64_t step = 0;
  std::filesystem::path directory;  // committed; empty: it failed
  RankOutcome failure;              // then the first failed rank's: StorageError or BugError
  double seconds = 0;               // from the begin to the end of this rank's last half
  bool ok() const { return failure.ok(); }
};

class Saver {
 public:
  // Collective. Makes options.root, removes what killed saves of the run left in it and proves that
  // every node can write there: throws StorageError on all ranks otherwise. `world` outlives this.
  Saver(const SaveOptions& options, const std::string& run_id, comm::Communicator& world);
  // Gives up a save in flight: the thread stops after the write that it is in.
  ~Saver();
  Saver(const Saver&) = delete;

  // Makes room for the copies that Begin() takes.
  void Reserve(const std::vector<SliceToSave>& slices) { snapshot_.Reserve(slices); }

  // Together the ranks' slices must tile each named tensor exactly once; rank 0 checks before it
  // commits. `protect`: steps retention never removes. All ranks call it at the same step boundary;
  // it is collective where ranks share files, the first time, and their slices must be the same
  // ones each time then. Copies the slices with `threads` threads. REQUIRES: none is in flight.
  void Begin(const RunPosition& position, const std::vector<SliceToSave>& slices,
             const std::vector<int64_t>& protect, int threads);
  bool in_flight() const { return phase_ != Phase::kIdle; }

  // What this rank says at a step boundary.
  SaveProgress progress() const { return progress_.load(std::memory_order_acquire); }
  // Collective, with the least and the greatest that the ranks said at this step boundary: the
  // result, once there is one. A failed save has been cleared up when it returns.
  std::optional<SaveResult> Advance(SaveProgress least, SaveProgress greatest);

  // Collective: waits for the save in flight. REQUIRES: one is.
  SaveResult Finish();
  // Collective: a whole save of slices that nothing changes meanwhile; they are not copied.
  SaveResult SaveNow(const RunPosition& position, const std::vector<SliceToSave>& slices,
                     const std::vector<int64_t>& protect);

 private:
  enum class Phase { kIdle, kWriting, kCommitting };

  void Start(const RunPosition& position, const std::vector<SliceToSave>& slices,
             const std::vector<int64_t>& protect);
  void Do(std::function<std::string()> half);
  std::vector<RankOutcome> GatherOutcomes();
  SaveResult End(RankOutcome failure, const std::filesystem::path& directory);

  SaveOptions options_;
  std::string run_id_;
  comm::Communicator& world_;
  std::unique_ptr<comm::Communicator> node_;  // the ranks that write one file together
  std::optional<FileLayout> layout_;          // of this rank's file
  Snapshot snapshot_;
  Phase phase_ = Phase::kIdle;
  RunPosition position_;
  std::filesystem::path temporary_;
  double begun_ = 0;
  // Of this rank's last half; the thread's until progress_ says otherwise.
  RankOutcome outcome_;
  double ended_ = 0;
  std::atomic<SaveProgress> progress_ = SaveProgress::kDone;
  std::stop_source giving_up_;
  core::JobQueue queue_{core::Priority::kBackground};  // last: its jobs use all of the above
};

}  // namespace moat::checkpoint
