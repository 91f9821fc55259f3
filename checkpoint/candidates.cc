// Going through a run's checkpoints.
#include "checkpoint/candidates.h"

#include <algorithm>
#include <utility>

#include "checkpoint/manifest/line.h"
#include "checkpoint/rank_outcome.h"
#include "core/logging.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

// What rank 0's body returns, or throws, on all ranks.
template <typename Body>
RankOutcome FromRankZero(comm::Communicator& world, const Body& body) {
  const std::string text = world.rank() == 0 ? RankOutcome::Of(body).ToText() : "";
  return RankOutcome::FromText(world.BroadcastText(text, 0));
}

}  // namespace

Candidate CandidateOf(const fs::path& directory) {
  Candidate candidate{directory, ReadManifest(directory), {}};
  candidate.places = AllIn(directory, candidate.manifest);
  return candidate;
}

Candidates::Candidates(const fs::path& root, comm::Communicator& world,
                       std::vector<Candidate> others)
    : root_(root), world_(world), others_(std::move(others)) {
  const RankOutcome list = FromRankZero(world, [&] {
    std::string lines;
    for (const CheckpointDirectory& found : ListLine(root)) {
      lines += std::to_string(found.step) + ' ' + found.path.string() + '\n';
    }
    return lines;
  });
  if (!list.ok()) list.Throw();
  for (size_t begin = 0; begin < list.text.size();) {
    const size_t end = list.text.find('\n', begin), space = list.text.find(' ', begin);
    listed_.push_back({.path = list.text.substr(space + 1, end - space - 1),
                       .step = std::stoll(list.text.substr(begin, space - begin))});
    begin = end + 1;
  }
  std::reverse(listed_.begin(), listed_.end());
  std::reverse(others_.begin(), others_.end());
  any_ = !listed_.empty() || !others_.empty();
}

std::optional<Candidate> Candidates::Next() {
  for (;;) {
    if (!others_.empty() &&
        (listed_.empty() || others_.back().manifest.position.step > listed_.back().step)) {
      Candidate other = std::move(others_.back());
      others_.pop_back();
      return other;
    }
    if (listed_.empty()) break;
    const fs::path directory = listed_.back().path;
    listed_.pop_back();
    const RankOutcome text = FromRankZero(world_, [&] { return ReadManifest(directory).ToText(); });
    if (text.ok()) {
      Candidate candidate{directory, Manifest::Parse(text.text, directory.string()), {}};
      candidate.places = AllIn(directory, candidate.manifest);
      return candidate;
    }
    PassOver(text.text);
  }
  if (!any_) return std::nullopt;
  throw core::StorageError("no intact checkpoint is left in " + root_.string() + ":" + reasons_);
}

void Candidates::PassOver(const std::string& problem) {
  reasons_ += "\n  " + problem;
  if (world_.rank() == 0) {
    core::Log(core::Log::kWarning) << "checkpoint passed over: " << problem;
  }
}

}  // namespace moat::checkpoint
