// The node-local tier: the newest steps of a run on its nodes' own memory or disks, so that losing
// a process or a node costs a step rather than the time since the last checkpoint.
//
// Every rank copies its part of the state into a file in a folder of its node, in the format of
// checkpoints (rank_file.h), and keeps a byte for byte copy of the file of a partner on another
// node. Two places take turns, so that one step is always whole; nothing is synced, because this
// tier is against lost processes and nodes, not against power. The shared tier stays the truth: it
// says (kLocalName in its folder) whose copies count, and a copy becomes a checkpoint only by the
// next save there.
//
//   DIR/<run>-<digest of where its checkpoints lie>/node-00000/place-0/
//     rank-00000.safetensors  rank-00000.part    this rank's, and what a manifest says of it
//     rank-00002.safetensors  rank-00002.part    its partner's
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/candidates.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/rank_outcome.h"
#include "comm/communicator.h"

namespace moat::checkpoint {

inline constexpr char kLocalName[] = "local.json";

// Where a run whose checkpoints lie in `root` keeps its copies below `directory`.
std::filesystem::path LocalFolder(const std::filesystem::path& directory,
                                  const std::filesystem::path& root);

// Collective: the whole copies that this run may go on from, newest first, the same on all ranks;
// of one with mirrors there are two, since what is damaged in the one may be well in the other.
// What cannot be read, or is another run's or an earlier beginning's, is not among them.
std::vector<Candidate> FindLocalCopies(const std::filesystem::path& directory,
                                       const std::filesystem::path& root,
                                       comm::Communicator& world);

// An attempt that makes no copies begins: those of earlier ones do not count any more, since its
// line may leave theirs. Collective; throws StorageError on all ranks.
void ForgetLocalCopies(const std::filesystem::path& root, comm::Communicator& world);

class LocalTier {
 public:
  // Collective, once the run has started (from `start`, if that is not null). Proves on every node
  // that a folder can be made and written there, throws StorageError on all ranks otherwise; then
  // all copies but the one in `start` stop counting. `world` outlives this.
  LocalTier(const std::filesystem::path& directory, const std::filesystem::path& root,
            const std::string& run_id, const Candidate* start, comm::Communicator& world);

  // Collective, at a step boundary: copies the slices of all ranks and exchanges them with the
  // partners; together they must tile each tensor. The copy of the step before stays whole until
  // all ranks have this one. Where a rank fails (its disk is full, say), a warning says so, what is
  // whole stays, and the tier is off for the rest of the attempt.
  void Save(const RunPosition& position, const std::vector<SliceToSave>& slices);

  // The run is over, its copies are of no use. Never throws.
  void Remove(const std::filesystem::path& root);

  int64_t copies() const { return copies_; }
  double seconds() const { return seconds_; }  // that training has waited for them

 private:
  std::filesystem::path Place(int number) const;
  std::string WriteOwn(const RunPosition& position, const std::vector<SliceToSave>& slices);
  bool KeepsFileOf(size_t partner) const;  // by its number among the partners
  void Mirror(const std::string& part);

  std::filesystem::path folder_;  // of the run, on this node
  std::filesystem::path node_;    // in it, this node's
  std::string token_;             // of this attempt
  comm::Communicator& world_;
  std::unique_ptr<comm::Communicator> partners_;  // this rank and those whose files it keeps
  bool leads_node_;
  int next_ = 0;  // the place that is written next
  bool on_ = true;
  RankOutcome last_;  // of this rank's last copy
  int64_t copies_ = 0;
  double seconds_ = 0;
};

}  // namespace moat::checkpoint
