// How an attempt ended, judged from what its ranks wrote, what mpirun said and what was asked for.
// Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launch/lost_node.h"
#include "rundir/failure.h"
#include "rundir/outcome.h"

namespace moat::launch {

struct Ending {
  int wait_status = 0;                    // of mpirun, as waitpid gives it
  std::string output_tail;                // the end of what mpirun and the ranks printed
  std::vector<rundir::Failure> failures;  // the first cause first
  std::optional<rundir::Result> result;   // rank 0's
  int first_signal = 0;                   // what the supervisor was told, 0: nothing
  int second_signal = 0;                  // it was told again: everything was killed at once
  bool grace_over = false;                // it was killed because it did not end in time
  double grace = 0;                       // seconds
  int64_t last_step = 0;                  // by metrics.jsonl
  bool in_start_up = false;  // told before all ranks could listen: they were ended at once
  std::vector<std::optional<uint32_t>> requests = {};  // to stop, heard by each rank, by its board
  std::vector<std::string> hosts = {};                 // of each rank
  int64_t out_of_memory_kills = 0;  // of processes of this node by the kernel, meanwhile
  // They hung and were ended by the supervisor: the rank that the others waited for.
  std::optional<rundir::FirstFailure> hang = std::nullopt;
  // A node whose watcher was not heard any more at the end, and whether that is why the supervisor
  // ended the ranks.
  std::optional<NodeView> unheard = std::nullopt;
  bool node_lost = false;
};

inline constexpr char kHangClass[] = "hang";  // error_class of a hang; its code is 76

struct Verdict {
  rundir::RunState state = rundir::RunState::kFailed;
  int exit_code = 0;  // of the supervisor, and in outcome.json
  std::string error_class;
  std::optional<rundir::FirstFailure> first_failure;
  int64_t step = 0;
};

Verdict Judge(const Ending& ending);

}  // namespace moat::launch
