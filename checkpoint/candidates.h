// Candidates: the checkpoints that a run may go on from, best first.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/delivery.h"

namespace moat::checkpoint {

// Of a copy on the nodes (checkpoint/local_tier.h).
struct LocalOrigin {
  std::string token;  // of the attempt that made it
  int place = 0;
};

struct Candidate {
  std::filesystem::path directory;  // for people; of the shared tier, its name enters the lineage
  Manifest manifest;
  FilePlaces places;
  std::optional<LocalOrigin> local = {};
};

// Of one directory, whose manifest is read and checked. Throws DataError. Not collective.
Candidate CandidateOf(const std::filesystem::path& directory);

class Candidates {
 public:
  // Collective, as all that follows: rank 0 lists the run's own line in `root`, all get its answer.
  // `others`, the same on all ranks, newest first, take their places among them by step, behind a
  // directory of the same step. `world` outlives this.
  Candidates(const std::filesystem::path& root, comm::Communicator& world,
             std::vector<Candidate> others = {});

  // The newest that was not given yet and whose manifest is intact; others are passed over. nullopt
  // when there was none at all; throws StorageError with all reasons when there were some and none
  // is left.
  std::optional<Candidate> Next();

  // The last one proved to be damaged: says so, once.
  void PassOver(const std::string& problem);

 private:
  std::filesystem::path root_;
  comm::Communicator& world_;
  std::vector<CheckpointDirectory> listed_;  // newest last, as are the others
  std::vector<Candidate> others_;
  std::string reasons_;
  bool any_ = false;
};

}  // namespace moat::checkpoint
