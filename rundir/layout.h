// The layout of a run directory: where each file of a run lies.
//
//   runs/<name>/run.flags capsule.json outcome.json lease.json metrics.jsonl launch/ ckpt/
//   logs/attempt-00/node-<host>.log failure-<rank>.json result.json board-<rank> hang.txt
#pragma once

#include <filesystem>
#include <string>

namespace moat::rundir {

struct RunLayout {
  std::filesystem::path root;  // runs/<name>

  std::filesystem::path flags() const { return root / "run.flags"; }
  std::filesystem::path capsule() const { return root / "capsule.json"; }
  std::filesystem::path outcome() const { return root / "outcome.json"; }
  std::filesystem::path outcome_room() const { return launch() / "room-for-outcome"; }
  std::filesystem::path lease() const { return root / "lease.json"; }
  std::filesystem::path metrics() const { return root / "metrics.jsonl"; }
  // Which algorithms a device computes the run's matrix products with (tensor/product_choices.h).
  std::filesystem::path products() const { return root / "products.txt"; }
  std::filesystem::path launch() const { return root / "launch"; }
  // The hosts of a hostfile that are left after some were lost.
  std::filesystem::path hosts() const { return launch() / "hosts"; }
  // Of a run that a scheduler starts: what was submitted, the flags and programs it starts with,
  // what became of its legs, and the nodes it keeps away from.
  std::filesystem::path job_script() const { return launch() / "job.sbatch"; }
  std::filesystem::path job_flags() const { return launch() / "job.flags"; }
  std::filesystem::path job_programs() const { return launch() / "programs"; }
  std::filesystem::path job_legs() const { return launch() / "legs.jsonl"; }
  std::filesystem::path job_exclude() const { return launch() / "exclude"; }
  std::filesystem::path job_starter() const { return launch() / "starter"; }
  std::filesystem::path checkpoints() const { return root / "ckpt"; }
  std::filesystem::path logs(int attempt) const;  // logs/attempt-00
  std::filesystem::path node_log(int attempt, const std::string& host) const;
  // A rank that fails writes its cause here before it exits: rundir/failure.h.
  std::filesystem::path failure(int attempt, int rank) const;
  // Rank 0 writes how the attempt ended here just before it exits: rundir/failure.h.
  std::filesystem::path result(int attempt) const;
  // What a rank is doing, for who watches it: rundir/board.h.
  std::filesystem::path board(int attempt, int rank) const;
  // What every rank did when they hung, with stacks: text, by the supervisor.
  std::filesystem::path hang(int attempt) const;
};

// Throws ConfigError unless `name` is letters, digits, '.', '_', '-', does not start with '.' or
// '-' and has at most 100 characters (it becomes a directory and a job name).
void CheckRunName(const std::string& name);

// runs/<name>, after CheckRunName.
RunLayout LayoutOf(const std::string& run_root, const std::string& name);

}  // namespace moat::rundir
