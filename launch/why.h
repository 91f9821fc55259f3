// Why a run ended: the first cause by class, what shows it, and one command to go on with. Of one
// that has not ended, how far it is and what it waits for.
//
// Reads the run directory only: what the supervisor judged (outcome.json), what ranks said before
// they ended, the report of a hang, and the logs.
#pragma once

#include <string>
#include <vector>

#include "rundir/outcome.h"

namespace moat::launch {

enum class CauseClass {
  kNone,  // it runs, waits, or reached its target
  kOutOfMemory,
  kNan,
  kHang,
  kData,
  kStorage,
  kPreemption,
  kNode,  // a rank, the launcher or the machine under it was lost
  kUser,  // bad flags, or somebody stopped it
  kBug,
};

const char* Name(CauseClass cause);  // "out_of_memory", "nan", ...

struct Evidence {
  std::string file;  // within the run directory
  std::string text;  // one line of it, or what it says
};

struct Why {
  std::string run;
  rundir::RunState state = rundir::RunState::kQueued;
  CauseClass cause = CauseClass::kNone;
  std::string error_class;  // of outcome.json
  std::string what;         // one sentence
  int rank = -1;            // -1: no rank's, or unknown which
  std::string host;
  int attempt = -1;  // the one that ended so, -1: none was started
  std::vector<Evidence> evidence;
  std::string advice;   // a sentence about the command
  std::string command;  // as a shell takes it; "" where nothing is to be done
};

// Throws ConfigError as CheckRunExists (launch/run_choice.h).
Why Explain(const std::string& run_root, const std::string& run);

std::string ToText(const Why& why);
std::string ToJson(const Why& why);

}  // namespace moat::launch
