// The two halves of a save, and the agreement after each.
#include "checkpoint/saver.h"

#include <algorithm>
#include <array>
#include <utility>

#include "checkpoint/commit.h"
#include "comm/grid.h"
#include "core/clock.h"
#include "core/durable_file.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

std::string PrepareRoot(const fs::path& root, const std::string& run_id) {
  core::MakeDirectories(root);
  RemoveLeftovers(root, run_id);
  return "";
}

// What a save does first, with a byte.
std::string Probe(const fs::path& temporary) {
  core::MakeDirectories(temporary);
  const fs::path probe = temporary / "probe";
  core::FileWriter writer(probe);
  writer.Write("?");
  writer.SyncAndClose();
  fs::remove_all(temporary);
  return "";
}

}  // namespace

Saver::Saver(const SaveOptions& options, const std::string& run_id, comm::Communicator& world)
    : options_(options), run_id_(run_id), world_(world) {
  AgreeThatAllDid(world, RankOutcome::Of([&] {
                    return world.rank() == 0 ? PrepareRoot(options.root, run_id) : "";
                  }));
  if (options.file_per_node) node_ = comm::NodeGroup(world);
  // Each node by a name of its own: where they share a file system, one removes its own only.
  const fs::path probe = TemporaryOf(options.root, run_id, -1 - world.rank());
  AgreeThatAllDid(world,
                  RankOutcome::Of([&] { return comm::LeadsNode(world) ? Probe(probe) : ""; }));
}

Saver::~Saver() { giving_up_.request_stop(); }

void Saver::Begin(const RunPosition& position, const std::vector<SliceToSave>& slices,
                  const std::vector<int64_t>& protect, int threads) {
  MOAT_CHECK(!in_flight(), "one save at a time");
  snapshot_.Take(slices, threads);
  Start(position, snapshot_.slices(), protect);
}

void Saver::Start(const RunPosition& position, const std::vector<SliceToSave>& slices,
                  const std::vector<int64_t>& protect) {
  MOAT_CHECK(!in_flight(), "one save at a time");
  begun_ = core::MonotonicSeconds();
  position_ = position;
  options_.protect = protect;
  temporary_ = TemporaryOf(options_.root, run_id_, position.step);
  phase_ = Phase::kWriting;
  if (!node_ || !layout_) {
    layout_ = node_ ? LayoutTogether(slices, *node_) : LayoutAlone(slices, world_.rank());
  }
  Do([this, slices] {
    core::MakeDirectories(temporary_);
    return WriteShare(temporary_, position_, slices, *layout_, world_.rank(),
                      giving_up_.get_token())
        .ToText();
  });
}

// In the thread. The outcome is published by the word that all others wait for.
void Saver::Do(std::function<std::string()> half) {
  progress_.store(SaveProgress::kWorking, std::memory_order_relaxed);
  queue_.Add([this, half = std::move(half)] {
    outcome_ = RankOutcome::Of(half);
    ended_ = core::MonotonicSeconds();
    progress_.store(outcome_.ok() ? SaveProgress::kDone : SaveProgress::kFailed,
                    std::memory_order_release);
  });
}

std::vector<RankOutcome> Saver::GatherOutcomes() {
  std::vector<RankOutcome> outcomes;
  for (const std::string& text : world_.AllGatherText(outcome_.ToText())) {
    outcomes.push_back(RankOutcome::FromText(text));
  }
  return outcomes;
}

std::optional<SaveResult> Saver::Advance(SaveProgress least, SaveProgress greatest) {
  if (phase_ == Phase::kIdle || least == SaveProgress::kWorking) return std::nullopt;
  const bool failed = greatest == SaveProgress::kFailed;
  // No rank goes on, and so perhaps ends the job, before rank 0 has cleared up.
  if (failed && world_.rank() == 0) {
    std::error_code ignored;  // the next attempt tries again
    fs::remove_all(temporary_, ignored);
  }
  const std::vector<RankOutcome> outcomes = GatherOutcomes();
  if (failed) {
    return End(*std::find_if(outcomes.begin(), outcomes.end(),
                             [](const RankOutcome& outcome) { return !outcome.ok(); }),
               {});
  }
  if (phase_ == Phase::kCommitting) return End({}, outcomes[0].text);
  phase_ = Phase::kCommitting;
  if (world_.rank() == 0) {
    std::vector<std::string> reports;
    for (const RankOutcome& outcome : outcomes) reports.push_back(outcome.text);
    Do([this, reports = std::move(reports)] {
      const fs::path directory = Commit(options_.root, position_, temporary_, reports);
      Retain(options_, run_id_);
      return directory.string();
    });
  }
  return std::nullopt;
}

SaveResult Saver::End(RankOutcome failure, const fs::path& directory) {
  phase_ = Phase::kIdle;
  return {position_.step, directory, std::move(failure), ended_ - begun_};
}

SaveResult Saver::Finish() {
  MOAT_CHECK(in_flight(), "no save is in flight");
  tensor::Stream host;
  std::vector<int64_t> all(static_cast<size_t>(world_.size()));
  while (true) {
    queue_.Wait();
    const std::array<int64_t, 1> mine = {static_cast<int64_t>(progress())};
    world_.AllGather(tensor::HostView(mine.data(), 1),
                     tensor::HostView(all.data(), static_cast<int64_t>(all.size())), host);
    const auto [least, greatest] = std::minmax_element(all.begin(), all.end());
    const auto result =
        Advance(static_cast<SaveProgress>(*least), static_cast<SaveProgress>(*greatest));
    if (result) return *result;
  }
}

SaveResult Saver::SaveNow(const RunPosition& position, const std::vector<SliceToSave>& slices,
                          const std::vector<int64_t>& protect) {
  Start(position, slices, protect);
  return Finish();
}

std::filesystem::path Save(const SaveOptions& options, const RunPosition& position,
                           const std::vector<SliceToSave>& slices, comm::Communicator& world) {
  Saver saver(options, position.run_id, world);
  const SaveResult result = saver.SaveNow(position, slices, options.protect);
  if (!result.ok()) result.failure.Throw();
  return result.directory;
}

}  // namespace moat::checkpoint
