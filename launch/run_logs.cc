// Reading the logs of a run.
#include "launch/run_logs.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <set>

#include "core/error.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> NodeLogs(const fs::path& folder) {
  std::vector<fs::path> logs;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("node-") && name.ends_with(".log")) logs.push_back(entry.path());
  }
  std::sort(logs.begin(), logs.end());
  return logs;
}

}  // namespace

LogLine ToLogLine(const std::string& text) {
  constexpr std::string_view kOurs = "moat: ";
  LogLine line{std::nullopt, text};
  if (!text.starts_with(kOurs)) return line;
  int rank = 0;
  line.rank = std::sscanf(text.c_str() + kOurs.size(), "[rank %d]", &rank) == 1 ? rank : 0;
  return line;
}

std::vector<int> Attempts(const rundir::RunLayout& layout) {
  std::vector<int> attempts;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(layout.root / "logs", ignored)) {
    int attempt = 0;
    const std::string name = entry.path().filename();
    if (std::sscanf(name.c_str(), "attempt-%d", &attempt) == 1) attempts.push_back(attempt);
  }
  std::sort(attempts.begin(), attempts.end());
  return attempts;
}

LogReader::LogReader(rundir::RunLayout layout, int attempt)
    : layout_(std::move(layout)), attempt_(attempt) {
  const std::vector<int> attempts = Attempts(layout_);
  const std::string run = layout_.root.filename();
  if (attempts.empty()) throw core::ConfigError("run " + run + " has no logs yet");
  if (attempt < 0) attempt_ = attempts.back();
  if (std::find(attempts.begin(), attempts.end(), attempt_) != attempts.end()) return;
  std::string known;
  for (const int one : attempts) known += " " + std::to_string(one);
  throw core::ConfigError("run " + run + " has no attempt " + std::to_string(attempt_) +
                          "; there are:" + known);
}

std::vector<LogLine> LogReader::Read(std::optional<int> rank) {
  std::vector<LogLine> lines;
  for (const fs::path& path : NodeLogs(layout_.logs(attempt_))) {
    std::streamoff& read = read_[path];
    std::ifstream file(path, std::ios::binary);
    file.seekg(read);
    for (std::string text; std::getline(file, text) && !file.eof();) {
      read += static_cast<std::streamoff>(text.size()) + 1;
      LogLine line = ToLogLine(text);
      if (!rank || line.rank == rank) lines.push_back(std::move(line));
    }
  }
  return lines;
}

std::vector<int> LogReader::Ranks() const {
  std::set<int> ranks;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(layout_.logs(attempt_), ignored)) {
    const std::string name = entry.path().filename();
    int rank = 0;
    if (std::sscanf(name.c_str(), "board-%d", &rank) == 1 ||
        std::sscanf(name.c_str(), "failure-%d.json", &rank) == 1) {
      ranks.insert(rank);
    }
  }
  return {ranks.begin(), ranks.end()};
}

std::string WhySilent(const LogReader& logs, int rank, bool may_come) {
  const std::vector<int> ranks = logs.Ranks();
  const bool known = std::find(ranks.begin(), ranks.end(), rank) != ranks.end();
  std::string text = "rank " + std::to_string(rank);
  text += known ? " has said nothing in attempt " : " is not in attempt ";
  text += std::to_string(logs.attempt());
  if (ranks.empty()) {
    text += ", where no rank has come up; moat logs without --rank prints what was said";
  } else if (ranks.size() == 1) {
    text += "; there is rank " + std::to_string(ranks.front()) + " only";
  } else {
    text += "; there are ranks " + std::to_string(ranks.front()) + " to " +
            std::to_string(ranks.back());
  }
  if (!known && !may_come) throw core::ConfigError(text);
  return text;
}

bool LogReader::Next() {
  for (const int attempt : Attempts(layout_)) {
    if (attempt <= attempt_) continue;
    attempt_ = attempt;
    return true;
  }
  return false;
}

}  // namespace moat::launch
