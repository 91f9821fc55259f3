// Slurm's commands, and what they print.
#include "launch/slurm_queue.h"

#include <re2/re2.h>

#include <algorithm>
#include <cctype>
#include <sstream>

#include "configs/slurm_config.h"
#include "core/comma_list.h"
#include "core/error.h"
#include "core/nearest.h"
#include "launch/captured.h"

namespace moat::launch {
namespace {

constexpr double kAnswerSeconds = 60;  // of a busy controller

std::string Trimmed(std::string text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.pop_back();
  return text;
}

// Its last line that says more than who speaks.
std::string WhatItSaid(const Captured& answer) {
  std::string said;
  std::istringstream lines(answer.errors + answer.output);
  for (std::string line; std::getline(lines, line);) {
    if (!Trimmed(line).empty()) said += (said.empty() ? "" : "; ") + Trimmed(line);
  }
  if (answer.code == 124) return "no answer";
  return said.empty() ? "exit code " + std::to_string(answer.code) : said;
}

Captured Ask(const std::vector<std::string>& argv, double seconds = kAnswerSeconds) {
  try {
    return RunCaptured(argv, {}, seconds);
  } catch (const core::ConfigError&) {
    throw core::ConfigError("there is no " + argv[0] +
                            " here: --on=slurm needs Slurm's commands, so start it where they are, "
                            "on a login node; --on=local needs none");
  }
}

std::string Answer(const std::vector<std::string>& argv) {
  const Captured answer = Ask(argv);
  if (answer.code == 0) return answer.output;
  throw core::ConfigError("Slurm does not answer: " + argv[0] + ": " + WhatItSaid(answer) +
                          "; try again when sinfo works");
}

// The first `n - 1` fields of a line, and its rest.
std::vector<std::string> Fields(const std::string& line, size_t n) {
  std::vector<std::string> fields;
  size_t begin = 0;
  while (fields.size() + 1 < n) {
    const size_t end = line.find('|', begin);
    if (end == std::string::npos) break;
    fields.push_back(line.substr(begin, end - begin));
    begin = end + 1;
  }
  fields.push_back(line.substr(begin));
  fields.resize(n);
  return fields;
}

}  // namespace

std::vector<QueuedJob> ParseQueue(const std::string& lines) {
  std::vector<QueuedJob> jobs;
  std::istringstream text(lines);
  for (std::string line; std::getline(text, line);) {
    const std::vector<std::string> fields = Fields(line, 4);
    jobs.push_back({fields[0], fields[1], fields[2], fields[3]});
  }
  return jobs;
}

std::vector<QueuedJob> QueuedJobs() {
  return ParseQueue(Answer({"squeue", "--me", "--array", "--noheader", "--format=%i|%T|%r|%o"}));
}

std::optional<int> QueuedJob::task() const {
  const size_t underscore = id.find('_');
  if (underscore == std::string::npos) return std::nullopt;
  return std::atoi(id.c_str() + underscore + 1);
}

std::optional<QueuedJob> JobOf(const std::vector<QueuedJob>& jobs,
                               const std::filesystem::path& script, std::optional<int> task) {
  std::optional<QueuedJob> found;
  for (const QueuedJob& job : jobs) {
    if (job.script != script || job.task() != task) continue;
    if (!found || std::stoll(job.id) > std::stoll(found->id)) found = job;
  }
  return found;
}

std::string Describe(const QueuedJob& job) {
  std::string state = job.state;
  std::transform(state.begin(), state.end(), state.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  const bool has_reason = job.state == "PENDING" && job.reason != "None";
  return "job " + job.id + " (" + state + (has_reason ? ": " + job.reason : "") + ")";
}

std::vector<Partition> ParsePartitions(const std::string& lines) {
  std::vector<Partition> partitions;
  std::istringstream text(lines);
  for (std::string line; std::getline(text, line);) {
    const std::vector<std::string> fields = Fields(line, 3);
    Partition partition{fields[0], false, std::atoi(fields[1].c_str()), Trimmed(fields[2])};
    if (partition.name.ends_with('*')) {
      partition.is_default = true;
      partition.name.pop_back();
    }
    partitions.push_back(partition);
  }
  return partitions;
}

std::vector<Partition> Partitions() {
  return ParsePartitions(Answer({"sinfo", "--noheader", "--format=%P|%D|%l"}));
}

namespace {

bool Takes(const Partition& partition, const std::string& asked) {
  if (asked.empty()) return partition.is_default;
  const auto names = core::SplitAtCommas(asked);
  return std::find(names.begin(), names.end(), partition.name) != names.end();
}

// A limit that cannot be read is none.
bool LastsLongEnough(const Partition& partition, const std::string& time) {
  const auto limit = configs::SlurmSeconds(partition.time_limit);
  const auto wanted = configs::SlurmSeconds(time);
  return !limit || !wanted || *wanted <= *limit;
}

void CheckNames(const std::vector<Partition>& partitions, const std::string& asked) {
  std::vector<std::string> known;
  for (const Partition& partition : partitions) known.push_back(partition.name);
  for (const std::string& name : core::SplitAtCommas(asked)) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string nearest = core::NearestName(name, known);
    throw core::ConfigError("--partition=" + name + ": this cluster has no such partition; " +
                            (nearest.empty() ? "it has " + core::JoinWithCommas(known)
                                             : "did you mean " + nearest + "?"));
  }
}

}  // namespace

void CheckFits(const std::vector<Partition>& partitions, const std::string& asked, int nodes,
               const std::string& time) {
  if (!asked.empty()) CheckNames(partitions, asked);
  std::string why;
  for (const Partition& partition : partitions) {
    if (!Takes(partition, asked)) continue;
    if (partition.nodes < nodes) {
      why = "--nodes=" + std::to_string(nodes) + ": partition " + partition.name + " has " +
            std::to_string(partition.nodes);
    } else if (!LastsLongEnough(partition, time)) {
      why = "--time=" + time + ": partition " + partition.name + " allows " + partition.time_limit +
            " (a run goes on over as many legs as it needs)";
    } else {
      return;
    }
  }
  if (!why.empty()) throw core::ConfigError(why + "; ask for less, or another --partition");
}

std::string Submit(const std::filesystem::path& script) {
  const Captured answer = Ask({"sbatch", "--parsable", script.string()});
  if (answer.code != 0) {
    throw core::ConfigError("sbatch refuses the job: " + WhatItSaid(answer) + "; its script is " +
                            script.string());
  }
  return Trimmed(answer.output.substr(0, answer.output.find(';')));  // ID[;CLUSTER]
}

std::vector<std::string> NodesOfJob(const std::string& id) {
  return NodeNames(Trimmed(Answer({"squeue", "--noheader", "--job=" + id, "--format=%N"})));
}

std::string ArrayOf(const std::vector<int>& numbers, int parallel) {
  std::string text;
  for (size_t first = 0, last = 0; first < numbers.size(); first = last + 1) {
    for (last = first; last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1;) ++last;
    text += (first > 0 ? "," : "") + std::to_string(numbers[first]);
    if (last > first) text += "-" + std::to_string(numbers[last]);
  }
  return text + (parallel > 0 ? "%" + std::to_string(parallel) : "");
}

std::optional<int> MaxArraySize() {
  return ParseMaxArraySize(Answer({"scontrol", "show", "config"}));
}

std::optional<int> ParseMaxArraySize(const std::string& shown) {
  int size = 0;
  const bool found = RE2::PartialMatch(shown, "MaxArraySize *= *(\\d{1,9})", &size);
  return found ? std::optional(size) : std::nullopt;
}

// Jobs that have ended meanwhile are none to complain about: the queue says what became of them.
void CancelPending(const std::vector<std::string>& ids) {
  if (ids.empty()) return;
  std::vector<std::string> argv = {"scancel", "--state=PENDING"};
  argv.insert(argv.end(), ids.begin(), ids.end());
  Ask(argv);
}

// While other tasks of its array are pending, Slurm (22.05) signals a task and answers that it
// cannot now, and scancel tries again after 5 s, and again: a second INT would kill the run.
void InterruptJob(const std::string& id) {
  constexpr double kBeforeItTriesAgain = 4;
  Ask({"scancel", "--batch", "--signal=INT", id}, kBeforeItTriesAgain);
}

JobEnd ParseJobEnd(const std::string& shown, int restarts) {
  const auto field = [&](const std::string& name) {
    std::string value;
    RE2::PartialMatch(shown, "\\b" + name + "=(\\S+)", &value);
    return value;
  };
  const std::string state = field("JobState");
  if (state != "COMPLETING" && state != "CANCELLED" && state != "TIMEOUT") return JobEnd::kRunning;
  const std::string preempted = field("PreemptTime");
  if (!preempted.empty() && preempted != "None") return JobEnd::kPreempted;
  if (std::atoi(field("Restarts").c_str()) > restarts) return JobEnd::kRequeued;
  if (state == "TIMEOUT" || field("Reason") == "TimeLimit") return JobEnd::kTimeLimit;
  return JobEnd::kCancelled;
}

JobEnd HowJobEnds(const std::string& id, int restarts) {
  const Captured answer = Ask({"scontrol", "show", "job", id});
  return answer.code == 0 ? ParseJobEnd(answer.output, restarts) : JobEnd::kRunning;
}

std::optional<double> SecondsLeft(const std::string& id) {
  const Captured answer = Ask({"squeue", "--noheader", "--job=" + id, "--format=%L"});
  return answer.code == 0 ? configs::SlurmSeconds(Trimmed(answer.output)) : std::nullopt;
}

std::vector<std::string> NodeNames(const std::string& node_list) {
  std::istringstream lines(Answer({"scontrol", "show", "hostnames", node_list}));
  std::vector<std::string> names;
  for (std::string name; lines >> name;) names.push_back(name);
  return names;
}

}  // namespace moat::launch
