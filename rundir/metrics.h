// metrics.jsonl: one JSON object a line for every training step, evaluation and save of a run.
//
// Lines are only ever appended, by rank 0. Steps repeated after a resume appear again with their
// attempt; the last line of a step wins.
#pragma once

#include <cstdint>
#include <filesystem>
#include <ios>
#include <map>
#include <string>
#include <utility>

namespace moat::rundir {

struct StepLine {
  int attempt = 0;
  int64_t step = 0;  // 1 for the first update
  double loss = 0;   // written with full precision; NaN becomes null
  double grad_norm = 0;
  double lr = 0;
  double ms = 0;  // of the whole step
  double tokens_per_second = 0;
  double gemm_fraction = 0;  // model FLOP/s as a share of the products' rate, 0..1
  double peak_fraction = 0;  // the same of the devices' dense peak; 0: not known
  int64_t memory_bytes = 0;  // peak of rank 0's process, on the host
  // Of rank 0's device, 0 on CPUs: the most that was taken at the end of a step since the rank
  // began to set its model up, of what was free then, as the driver says. Ranks that share the
  // device count together.
  int64_t device_memory_bytes = 0;
  int64_t device_memory_room = 0;
  double data_wait = 0;              // share of the step, 0..1
  double exposed_communication = 0;  // share of the step, 0..1
  double eta_seconds = 0;
  std::string sample_hash;  // hex, of what was fed so far; left out when empty
};

struct ValidationNumbers {
  double loss = 0;
  double bits_per_byte = 0;
};

struct EvaluationLine {
  int attempt = 0;
  int64_t step = 0;
  double val_loss = 0;  // of all data sets together
  double val_bits_per_byte = 0;
  std::map<std::string, ValidationNumbers> by_data;  // of a run over several; left out when empty
};

// A save, once it is committed.
struct SaveLine {
  int attempt = 0;
  int64_t step = 0;
  std::string directory;
  double ms = 0;          // from its begin to its commit
  double stopped_ms = 0;  // of these, training stood still
};

// Each ends with a line feed.
std::string ToJsonLine(const StepLine& line);
std::string ToJsonLine(const EvaluationLine& line);
std::string ToJsonLine(const SaveLine& line);

class MetricsWriter {
 public:
  // Opens for appending. A line that a crash cut short is ended first, so that it spoils no other.
  explicit MetricsWriter(const std::filesystem::path& path);
  ~MetricsWriter();
  MetricsWriter(const MetricsWriter&) = delete;

  // One write per line. A line that the disk does not take waits, with a warning, for the next one:
  // a run need not end for it. Throws StorageError when 256 KiB wait.
  void Append(const StepLine& line) { Write(ToJsonLine(line)); }
  void Append(const EvaluationLine& line) { Write(ToJsonLine(line)); }
  void Append(const SaveLine& line) { Write(ToJsonLine(line)); }

 private:
  void Write(const std::string& text);
  std::filesystem::path path_;
  int fd_;
  std::string waiting_;  // not written yet
};

struct Metrics {
  std::map<int64_t, StepLine> steps;
  std::map<int64_t, EvaluationLine> evaluations;
  std::map<int64_t, SaveLine> saves;
  int64_t unreadable_lines = 0;  // cut short by a crash
};

// Reads a file that grows, each line once.
class MetricsReader {
 public:
  explicit MetricsReader(std::filesystem::path path) : path_(std::move(path)) {}

  // All lines so far; one that is being written counts the next time. An absent file has none.
  const Metrics& Read();

 private:
  std::filesystem::path path_;
  std::streamoff read_ = 0;  // bytes
  Metrics metrics_;
};

// An absent file has no lines.
Metrics ReadMetrics(const std::filesystem::path& path);

}  // namespace moat::rundir
