// Names of runs first: a run and a directory of one name are told apart by a '/'.
#include "programs/moat_model/checkpoint_place.h"

#include "checkpoint/manifest/line.h"
#include "checkpoint/manifest/manifest.h"
#include "core/error.h"
#include "launch/run_choice.h"
#include "rundir/layout.h"

namespace moat::programs {

namespace fs = std::filesystem;

fs::path CheckpointRootOf(const std::string& run_root, const std::string& place) {
  if (place.find('/') == std::string::npos && place.find_first_not_of('.') != std::string::npos) {
    const rundir::RunLayout layout = rundir::LayoutOf(run_root, place);
    if (fs::is_directory(layout.root)) return layout.checkpoints();
  }
  const rundir::RunLayout as_run{place};
  if (fs::is_directory(as_run.checkpoints())) return as_run.checkpoints();
  if (fs::is_directory(place)) return place;
  throw core::ConfigError("'" + place + "' is neither a run in " + run_root + " nor a directory" +
                          launch::HintOfRun(run_root, place));
}

fs::path OneCheckpoint(const std::string& run_root, const std::string& place) {
  if (IsOneCheckpoint(place)) return place;
  const fs::path root = CheckpointRootOf(run_root, place);
  const auto line = checkpoint::ListLine(root);
  if (line.empty()) throw core::ConfigError("there is no checkpoint in " + root.string() + " yet");
  return line.front().path;
}

bool IsOneCheckpoint(const fs::path& place) {
  std::error_code ignored;
  return fs::exists(place / checkpoint::kManifestName, ignored) ||
         (fs::is_directory(place, ignored) &&
          (place / ".").lexically_normal().parent_path().filename().string().starts_with("step-"));
}

}  // namespace moat::programs
