// When a run saves.
#include "trainer/run_checkpoints.h"

#include <algorithm>
#include <utility>

#include "core/clock.h"
#include "core/logging.h"

namespace moat::trainer {
namespace {

constexpr int kMostFailures = 3;        // in a row
constexpr double kLongWaitSeconds = 1;  // for the save before: worth a line

// Many small files are more than a parallel file system likes to make at once.
bool FilePerNode(configs::CheckpointFiles files, int ranks) {
  constexpr int kManyRanks = 64;
  return files == configs::CheckpointFiles::kNode ||
         (files == configs::CheckpointFiles::kAuto && ranks > kManyRanks);
}

checkpoint::SaveOptions SaveOptionsOf(const configs::TrainConfig& config,
                                      const rundir::RunLayout& layout, int ranks) {
  checkpoint::SaveOptions options;
  options.root = layout.checkpoints();
  options.keep = config.keep_checkpoints;
  options.keep_every = config.keep_every;
  options.file_per_node = FilePerNode(config.checkpoint_files, ranks);
  return options;
}

// A lineage of names that retention has removed would grow for as long as the run saves.
void ForgetRemoved(const std::filesystem::path& root, std::vector<std::string>* lineage) {
  constexpr size_t kManyNames = 64;
  if (lineage->size() <= kManyNames) return;
  std::erase_if(*lineage, [&](const std::string& name) {
    std::error_code error;
    return !std::filesystem::exists(root / name, error) && !error;
  });
}

}  // namespace

RunCheckpoints::RunCheckpoints(const configs::TrainConfig& config, const rundir::RunLayout& layout,
                               const Identity& identity, const model::Transformer& model,
                               Optimizer& optimizer, comm::Communicator& world,
                               RunProgress& progress, const checkpoint::Candidate* start,
                               int threads, Report report)
    : config_(config),
      root_(layout.checkpoints()),
      identity_(identity),
      model_(model),
      optimizer_(optimizer),
      world_(world),
      progress_(progress),
      threads_(threads),
      report_(std::move(report)),
      saver_(SaveOptionsOf(config, layout, world.size()), progress.run_id, world),
      saved_step_(start && !start->local ? progress.step : -1),
      best_saved_(progress.best.step) {
  if (!config.local_checkpoint_dir.empty()) {
    nodes_.emplace(config.local_checkpoint_dir, root_, progress.run_id, start, world);
  } else {
    checkpoint::ForgetLocalCopies(root_, world);
  }
  if (configs::CopiesForCheckpoints(config)) saver_.Reserve(SlicesToSave(model, optimizer));
}

bool RunCheckpoints::Due() const {
  const int64_t every = config_.checkpoint_every;
  return (every > 0 && progress_.step % every == 0) || progress_.step == retry_at_;
}

checkpoint::RunPosition RunCheckpoints::Position() const {
  const std::string grid =
      "\"" + std::to_string(world_.size() / config_.tp) + "x" + std::to_string(config_.tp) + "\"";
  return PositionOf(progress_, identity_, grid, optimizer_);
}

std::vector<int64_t> RunCheckpoints::Protected() const {
  return {best_saved_, progress_.best.step};  // the save of the new best one may fail
}

void RunCheckpoints::Hear(checkpoint::SaveProgress least, checkpoint::SaveProgress most) {
  if (const auto result = saver_.Advance(least, most)) Settle(*result);
}

void RunCheckpoints::WaitForTheOneInFlight() {
  if (!saver_.in_flight()) return;
  const double start = core::MonotonicSeconds();
  const checkpoint::SaveResult result = saver_.Finish();
  const double waited = core::MonotonicSeconds() - start;
  stopped_ += waited;
  if (world_.rank() == 0 && waited > kLongWaitSeconds) {
    core::Log(core::Log::kWarning)
        << "step " << progress_.step << " waited " << core::FormatSeconds(waited)
        << " for the save of step " << result.step
        << ": the disk takes longer than there is time between saves; raise --checkpoint_every";
  }
  Settle(result);
}

void RunCheckpoints::Save() {
  if (saved()) return;
  WaitForTheOneInFlight();
  const double start = core::MonotonicSeconds();
  const auto position = Position();
  const std::vector<checkpoint::SliceToSave> slices = SlicesToSave(model_, optimizer_);
  if (config_.async_checkpoints) {
    saver_.Begin(position, slices, Protected(), threads_);
    saved_step_ = progress_.step;
    stopped_ = core::MonotonicSeconds() - start;
  } else {
    const checkpoint::SaveResult result = saver_.SaveNow(position, slices, Protected());
    stopped_ = core::MonotonicSeconds() - start;
    Settle(result);
  }
}

void RunCheckpoints::SaveAndWait() {
  WaitForTheOneInFlight();
  failures_ = 0;  // this one has its own three chances
  while (!saved()) {
    const double start = core::MonotonicSeconds();
    const checkpoint::SaveResult result =
        saver_.SaveNow(Position(), SlicesToSave(model_, optimizer_), Protected());
    stopped_ = core::MonotonicSeconds() - start;
    Settle(result);
  }
}

void RunCheckpoints::CopyToNodes() {
  if (!nodes_ || progress_.step % config_.local_checkpoint_every != 0) return;
  optimizer_.WaitForWeights();
  nodes_->Save(Position(), SlicesToSave(model_, optimizer_));
}

void RunCheckpoints::End() {
  if (!nodes_) return;
  nodes_->Remove(root_);
  if (world_.rank() != 0 || nodes_->copies() == 0) return;
  const double each = nodes_->seconds() / static_cast<double>(nodes_->copies());
  core::Log() << "copies on the nodes: " << nodes_->copies() << ", for which training stopped "
              << core::FormatSeconds(each) << " each";
}

void RunCheckpoints::Settle(const checkpoint::SaveResult& result) {
  if (result.ok()) {
    failures_ = 0;
    retry_at_ = -1;
    saved_step_ = result.step;
    if (result.step == progress_.best.step) best_saved_ = result.step;
    progress_.lineage.push_back(result.directory.filename());
    if (world_.rank() == 0) {  // whose lineage is saved
      ForgetRemoved(result.directory.parent_path(), &progress_.lineage);
      report_({0, result.step, result.directory.string(), result.seconds * 1e3, stopped_ * 1e3});
    }
    return;
  }
  saved_step_ = -1;
  ++failures_;
  const int most = config_.strict_checkpoints ? 1 : kMostFailures;
  if (failures_ >= most || result.failure.code == core::ExitCode::kBug) result.failure.Throw();
  retry_at_ = progress_.step + std::max<int64_t>(1, config_.checkpoint_every / 4);
  if (world_.rank() == 0) {
    core::Log(core::Log::kWarning)
        << "the save of step " << result.step << " failed (" << failures_ << " in a row; " << most
        << " end the run): " << result.failure.text
        << "; training goes on, and tries again by step " << retry_at_;
  }
}

}  // namespace moat::trainer
