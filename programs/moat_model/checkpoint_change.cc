// moat checkpoint prune and copy: the commands that write.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/copy.h"
#include "checkpoint/manifest/inventory.h"
#include "checkpoint/retention.h"
#include "configs/bounds.h"
#include "core/error.h"
#include "core/units.h"
#include "launch/run_choice.h"
#include "programs/moat_model/checkpoint_commands.h"
#include "rundir/lease.h"

namespace moat::programs {
namespace {

namespace fs = std::filesystem;
using checkpoint::Inventory;
using checkpoint::ListedCheckpoint;
using nlohmann::ordered_json;

struct Doomed {
  fs::path path;
  int64_t bytes = 0;
};

// What killed saves and removals of these runs have left.
std::vector<Doomed> LeftoversOf(const Inventory& list, const std::set<std::string>& run_ids) {
  std::vector<Doomed> doomed;
  for (const checkpoint::Leftover& left : list.leftovers) {
    const std::string name = left.path.filename();
    if (std::any_of(run_ids.begin(), run_ids.end(), [&](const std::string& id) {
          return name.starts_with(checkpoint::TemporaryPrefix(id));
        })) {
      doomed.push_back({left.path, left.bytes});
    }
  }
  return doomed;
}

void PrintPruned(const std::vector<Doomed>& doomed, size_t kept, bool dry_run, bool as_json) {
  int64_t bytes = 0;
  ordered_json names = ordered_json::array();
  for (const Doomed& one : doomed) {
    bytes += one.bytes;
    names.push_back(one.path.filename().string());
  }
  if (as_json) {
    std::cout << ordered_json{{"dry_run", dry_run},
                              {"removed", names},
                              {"bytes", bytes},
                              {"kept", kept}}
              << "\n";
    return;
  }
  const char* const verb = dry_run ? "would remove " : "removed ";
  for (const Doomed& one : doomed) {
    std::cout << verb << one.path.string() << ", " << core::Format(core::Bytes(one.bytes)) << "\n";
  }
  std::cout << verb << doomed.size() << " directories, " << core::Format(core::Bytes(bytes)) << "; "
            << kept << (dry_run ? " checkpoints would stay\n" : " checkpoints stay\n");
}

// The best one stays, as the newest says, and what training itself would keep.
checkpoint::Retention RetentionOf(const configs::CommandLine& line, const Inventory& list) {
  checkpoint::Retention retention;
  retention.keep = static_cast<int>(line.Int("keep"));
  retention.keep_every = line.Int("keep_every");
  configs::AtLeast("keep", retention.keep, 2);
  configs::AtLeast("keep_every", retention.keep_every, 0);
  for (const ListedCheckpoint& one : list.checkpoints) {
    if (one.newest) retention.protect.push_back(checkpoint::BestStep(*one.manifest));
  }
  return retention;
}

void RemoveLeftover(const Doomed& leftover) {
  std::error_code error;
  fs::remove_all(leftover.path, error);
  if (!error) return;
  throw core::StorageError("cannot remove " + leftover.path.string() + ": " + error.message());
}

}  // namespace

int CheckpointPrune(const configs::CommandLine& line) {
  const rundir::RunLayout layout =
      rundir::LayoutOf(line.value("run_root"), line.positional().front());
  if (!fs::is_directory(layout.root)) {
    throw core::ConfigError("there is no run " + layout.root.string() +
                            launch::HintOfRun(line.value("run_root"), line.positional().front()));
  }
  const rundir::Lease lease(layout);  // nobody saves meanwhile
  const fs::path root = layout.checkpoints();
  const Inventory list = checkpoint::TakeInventory(root);
  const auto removals = checkpoint::ListRemovals(root, RetentionOf(line, list));
  const bool dry_run = line.Bool("dry_run");
  std::vector<Doomed> doomed;
  std::set<std::string> run_ids;
  for (const ListedCheckpoint& one : list.checkpoints) {
    if (one.manifest) run_ids.insert(one.manifest->position.run_id);
    const auto found = std::find_if(removals.begin(), removals.end(), [&](const auto& removal) {
      return removal.path == one.directory.path;
    });
    if (found == removals.end()) continue;
    doomed.push_back({one.directory.path, one.bytes});
    if (!dry_run) checkpoint::Remove(one.directory, one.manifest->position.run_id);
  }
  for (const Doomed& left : LeftoversOf(list, run_ids)) {
    doomed.push_back(left);
    if (!dry_run) RemoveLeftover(left);
  }
  PrintPruned(doomed, list.checkpoints.size() - removals.size(), dry_run, line.Bool("json"));
  return 0;
}

int CheckpointCopy(const configs::CommandLine& line) {
  const checkpoint::CopyReport report =
      checkpoint::Copy(line.positional()[0], line.positional()[1]);
  if (line.Bool("json")) {
    std::cout << ordered_json{{"directory", report.directory.string()},
                              {"files", report.files},
                              {"bytes", report.bytes}}
              << "\n";
  } else {
    std::cout << "copied to " << report.directory.string() << ": " << report.files << " files, "
              << core::Format(core::Bytes(report.bytes)) << "\n";
  }
  return 0;
}

}  // namespace moat::programs
