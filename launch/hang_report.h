// The report of a hang: every rank's phase, step and last collective, its process, and stacks.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "launch/hang.h"
#include "launch/process_sight.h"
#include "rundir/outcome.h"

namespace moat::launch {

struct HangReport {
  rundir::FirstFailure failure;  // the rank that the others wait for, -1 where nobody can tell
  std::string table;             // a line a rank, the culprit's first
  std::string stacks;            // of some processes, the culprit's first
};

// What other nodes say about the processes of their ranks. It is asked for when the processes of
// this node have been looked at, since all can look at the same time.
using OtherNodes = std::function<std::map<int, ProcessSight>()>;

// Looks at the processes of this node for about ten seconds at most. `late` is who was noticed;
// `launcher` is looked at too where a rank has no board yet.
HangReport ReportHang(const std::vector<RankView>& views, const Late& late, pid_t launcher,
                      const OtherNodes& others);

// Table and stacks, in one file. A disk that is full only costs the file.
void WriteHangReport(const std::filesystem::path& path, const HangReport& report);

}  // namespace moat::launch
