// The layout of a run directory.
#include "rundir/layout.h"

#include <algorithm>
#include <cctype>

#include "core/error.h"

namespace moat::rundir {

namespace fs = std::filesystem;

fs::path RunLayout::logs(int attempt) const {
  const std::string number = std::to_string(attempt);
  return root / "logs" / ("attempt-" + std::string(number.size() < 2 ? "0" : "") + number);
}

fs::path RunLayout::node_log(int attempt, const std::string& host) const {
  return logs(attempt) / ("node-" + host + ".log");
}

fs::path RunLayout::failure(int attempt, int rank) const {
  return logs(attempt) / ("failure-" + std::to_string(rank) + ".json");
}

fs::path RunLayout::result(int attempt) const { return logs(attempt) / "result.json"; }

fs::path RunLayout::board(int attempt, int rank) const {
  return logs(attempt) / ("board-" + std::to_string(rank));
}

fs::path RunLayout::hang(int attempt) const { return logs(attempt) / "hang.txt"; }

void CheckRunName(const std::string& name) {
  const bool good_letters = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return c < 128 && (std::isalnum(c) || c == '.' || c == '_' || c == '-');
  });
  if (name.empty() || name.size() > 100 || !good_letters || name[0] == '.' || name[0] == '-') {
    throw core::ConfigError("--run=" + name +
                            ": expected up to 100 letters, digits, '.', '_' and '-', starting with "
                            "a letter, digit or '_'");
  }
}

RunLayout LayoutOf(const std::string& run_root, const std::string& name) {
  CheckRunName(name);
  return RunLayout{fs::path(run_root) / name};
}

}  // namespace moat::rundir
