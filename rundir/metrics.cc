// metrics.jsonl.
#include "rundir/metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/logging.h"

namespace moat::rundir {
namespace {

[[noreturn]] void Fail(const std::string& action, const std::filesystem::path& path) {
  throw core::StorageError("cannot " + action + " " + path.string() + ": " + std::strerror(errno));
}

bool EndsInsideALine(int fd, const std::filesystem::path& path) {
  const off_t end = lseek(fd, 0, SEEK_END);
  if (end < 0) Fail("read", path);
  char last = '\n';
  if (end > 0 && pread(fd, &last, 1, end - 1) != 1) Fail("read", path);
  return last != '\n';
}

double Number(const nlohmann::json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() || found->is_null() ? NAN : found->get<double>();
}

void ReadLine(const std::string& text, Metrics& metrics) {
  const auto json = nlohmann::json::parse(text);
  const int attempt = json.at("attempt");
  const int64_t step = json.at("step");
  if (json.contains("loss")) {
    StepLine line;
    line.attempt = attempt;
    line.step = step;
    line.loss = Number(json, "loss");
    line.grad_norm = Number(json, "grad_norm");
    line.lr = Number(json, "lr");
    line.ms = Number(json, "ms");
    line.tokens_per_second = Number(json, "tokens_per_second");
    line.gemm_fraction = Number(json, "gemm_fraction");
    line.peak_fraction = json.value("peak_fraction", 0.0);
    line.memory_bytes = json.value("memory_bytes", int64_t{0});
    line.device_memory_bytes = json.value("device_memory_bytes", int64_t{0});
    line.device_memory_room = json.value("device_memory_room", int64_t{0});
    line.data_wait = Number(json, "data_wait");
    line.exposed_communication = Number(json, "exposed_communication");
    line.eta_seconds = Number(json, "eta_seconds");
    line.sample_hash = json.value("sample_hash", "");
    metrics.steps[step] = line;
  } else if (json.contains("saved")) {
    metrics.saves[step] = {attempt, step, json.at("saved"), Number(json, "ms"),
                           Number(json, "stopped_ms")};
  } else {
    EvaluationLine line{
        attempt, step, Number(json, "val_loss"), Number(json, "val_bits_per_byte"), {}};
    if (const auto parts = json.find("val_by_data"); parts != json.end()) {
      for (const auto& [name, own] : parts->items()) {
        line.by_data[name] = {Number(own, "val_loss"), Number(own, "val_bits_per_byte")};
      }
    }
    metrics.evaluations[step] = line;
  }
}

}  // namespace

std::string ToJsonLine(const StepLine& line) {
  nlohmann::ordered_json json = {{"attempt", line.attempt},
                                 {"step", line.step},
                                 {"loss", line.loss},
                                 {"grad_norm", line.grad_norm},
                                 {"lr", line.lr},
                                 {"ms", line.ms},
                                 {"tokens_per_second", line.tokens_per_second},
                                 {"gemm_fraction", line.gemm_fraction},
                                 {"memory_bytes", line.memory_bytes},
                                 {"data_wait", line.data_wait},
                                 {"exposed_communication", line.exposed_communication},
                                 {"eta_seconds", line.eta_seconds}};
  if (line.device_memory_room > 0) {
    json["device_memory_bytes"] = line.device_memory_bytes;
    json["device_memory_room"] = line.device_memory_room;
  }
  if (line.peak_fraction > 0) json["peak_fraction"] = line.peak_fraction;
  if (!line.sample_hash.empty()) json["sample_hash"] = line.sample_hash;
  return json.dump() + "\n";
}

std::string ToJsonLine(const EvaluationLine& line) {
  nlohmann::ordered_json json = {{"attempt", line.attempt},
                                 {"step", line.step},
                                 {"val_loss", line.val_loss},
                                 {"val_bits_per_byte", line.val_bits_per_byte}};
  for (const auto& [name, own] : line.by_data) {
    json["val_by_data"][name] = {{"val_loss", own.loss}, {"val_bits_per_byte", own.bits_per_byte}};
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string ToJsonLine(const SaveLine& line) {
  const nlohmann::ordered_json json = {{"attempt", line.attempt},
                                       {"step", line.step},
                                       {"saved", line.directory},
                                       {"ms", line.ms},
                                       {"stopped_ms", line.stopped_ms}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

MetricsWriter::MetricsWriter(const std::filesystem::path& path)
    : path_(path), fd_(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  if (fd_ < 0) Fail("open", path_);
  try {
    if (EndsInsideALine(fd_, path_)) Write("\n");
  } catch (...) {
    close(fd_);
    throw;
  }
}

MetricsWriter::~MetricsWriter() { close(fd_); }

void MetricsWriter::Write(const std::string& text) {
  constexpr size_t kMostWaiting = 256 << 10;
  const bool warned = !waiting_.empty();
  waiting_ += text;
  size_t done = 0;
  while (done < waiting_.size()) {
    const ssize_t n = write(fd_, waiting_.data() + done, waiting_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) break;
    done += static_cast<size_t>(n);
  }
  waiting_.erase(0, done);
  if (waiting_.size() > kMostWaiting) Fail("write", path_);
  if (!waiting_.empty() && !warned) {
    core::Log(core::Log::kWarning) << "cannot write " << path_.string() << ": "
                                   << std::strerror(errno) << "; its lines wait in memory";
  }
}

const Metrics& MetricsReader::Read() {
  std::ifstream file(path_);
  file.seekg(read_);
  for (std::string text; std::getline(file, text) && !file.eof();) {
    read_ += static_cast<std::streamoff>(text.size()) + 1;
    if (text.empty()) continue;
    try {
      ReadLine(text, metrics_);
    } catch (const nlohmann::json::exception&) {
      ++metrics_.unreadable_lines;
    }
  }
  return metrics_;
}

Metrics ReadMetrics(const std::filesystem::path& path) { return MetricsReader(path).Read(); }

}  // namespace moat::rundir
