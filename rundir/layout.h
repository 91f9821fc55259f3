// The layout of a run directory: where each file of a run lies.
//
//   runs/<name>/run.flags capsule.json outcome.json lease.json launch/
//   logs/attempt-00/node-<host>.log metrics.jsonl ckpt/
#pragma once

#include <filesystem>
#include <string>

namespace moat::rundir {

struct RunLayout {
  std::filesystem::path root;  // runs/<name>

  std::filesystem::path flags() const { return root / "run.flags"; }
  std::filesystem::path capsule() const { return root / "capsule.json"; }
  std::filesystem::path outcome() const { return root / "outcome.json"; }
  std::filesystem::path lease() const { return root / "lease.json"; }
  std::filesystem::path metrics() const { return root / "metrics.jsonl"; }
  std::filesystem::path launch() const { return root / "launch"; }
  std::filesystem::path checkpoints() const { return root / "ckpt"; }
  std::filesystem::path logs(int attempt) const;  // logs/attempt-00
  // A rank that fails writes its cause here (JSON: rank, host, code, class, what, step, wall time),
  // before it exits.
  std::filesystem::path failure(int attempt, int rank) const;
};

// Throws ConfigError unless `name` is letters, digits, '.', '_', '-' (it becomes a directory and a
// job name).
void CheckRunName(const std::string& name);

}  // namespace moat::rundir
