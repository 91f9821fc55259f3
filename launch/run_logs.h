// What a run's ranks printed: the logs of its nodes, whole or one rank's lines, as they grow.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "rundir/layout.h"

namespace moat::launch {

struct LogLine {
  std::optional<int> rank;  // whose message it is; nullopt: what somebody just printed
  std::string text;         // without the line feed
  bool operator==(const LogLine&) const = default;
};

// "moat: [rank 3] ..." is rank 3's, "moat: ..." rank 0's (core/logging.h).
LogLine ToLogLine(const std::string& text);

// The folders of a run's attempts that exist, by number.
std::vector<int> Attempts(const rundir::RunLayout& layout);

class LogReader {
 public:
  // Throws ConfigError, listing those there are, when there is no such attempt; -1: the newest.
  LogReader(rundir::RunLayout layout, int attempt);

  int attempt() const { return attempt_; }
  // The lines that have come since the last call, of each node in order; `rank`: its alone. A line
  // without its end waits for it.
  std::vector<LogLine> Read(std::optional<int> rank);
  // Goes on with the next attempt, if there is one by now.
  bool Next();
  // Of the attempt, in order: that have come up so far, as their boards say, or failed before.
  std::vector<int> Ranks() const;

 private:
  rundir::RunLayout layout_;
  int attempt_;
  std::map<std::filesystem::path, std::streamoff> read_;  // bytes
};

// Where nothing was printed of `rank`, the reason: "rank 1 has said nothing in attempt 0; there are
// ranks 0 to 3". `may_come`: the attempt goes on. Throws ConfigError where there is no such rank,
// and none may come.
std::string WhySilent(const LogReader& logs, int rank, bool may_come);

}  // namespace moat::launch
