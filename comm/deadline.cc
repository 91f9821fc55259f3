// Waiting, and saying who did not come.
#include "comm/deadline.h"

#include <sched.h>
#include <time.h>

#include <cstdio>

#include "core/clock.h"
#include "core/error.h"

namespace moat::comm {
namespace {

constexpr double kYieldFor = 1e-3;       // seconds of sched_yield before the first sleep
constexpr double kShortSleepsFor = 0.1;  // then short sleeps, then long ones
constexpr long kShortSleep = 20 * 1000;  // nanoseconds
constexpr long kLongSleep = 1000 * 1000;

std::string Describe(const Member& member) {
  return "rank " + std::to_string(member.world_rank) +
         (member.host.empty() ? "" : " on " + member.host);
}

}  // namespace

DeadlineKeeper::DeadlineKeeper(std::string group, int rank, std::vector<Member> members)
    : group_(std::move(group)), rank_(rank), members_(std::move(members)) {}

std::vector<int> DeadlineKeeper::WorldRanks(const std::vector<int>& ranks) const {
  std::vector<int> world;
  for (const int rank : ranks) world.push_back(members_[static_cast<size_t>(rank)].world_rank);
  return world;
}

void DeadlineKeeper::Begin(const Call& call) {
  if (running_) {
    throw core::PeerError("group '" + group_ + "' cannot be used any more: its operation " +
                          std::to_string(sequence_) + ", " + call_.text() +
                          ", failed, and the other ranks may have stopped");
  }
  running_ = true;
  ++sequence_;
  call_ = call;
}

void DeadlineKeeper::Relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

double DeadlineKeeper::Now() { return core::MonotonicSeconds(); }

bool DeadlineKeeper::Pause(double start) const {
  if (abandoned_.load(std::memory_order_relaxed)) {
    throw core::PeerError("group '" + group_ + "' was abandoned in its operation " +
                          std::to_string(sequence_) + ", " + call_.text() +
                          ": this rank failed elsewhere");
  }
  const double waited = Now() - start;
  if (waited > seconds_) return false;
  if (waited < kYieldFor) {
    sched_yield();
  } else {
    const timespec sleep{0, waited < kShortSleepsFor ? kShortSleep : kLongSleep};
    nanosleep(&sleep, nullptr);
  }
  return true;
}

void DeadlineKeeper::Fail(const std::vector<int>& missing) const {
  std::string names;
  for (const int rank : missing) {
    names += (names.empty() ? "" : ", ") + Describe(members_[static_cast<size_t>(rank)]);
  }
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%g", seconds_);
  std::optional<core::FailedRank> first;
  if (!missing.empty()) {
    const Member& member = members_[static_cast<size_t>(missing.front())];
    first = core::FailedRank{member.world_rank, member.host};
  }
  throw core::PeerError(
      "lost peer: " + Describe(members_[static_cast<size_t>(rank_)]) + " waited " + seconds +
          " s in group '" + group_ + "' of " + std::to_string(members_.size()) + ", operation " +
          std::to_string(sequence_) + ", " + call_.text() + "; missing: " + names +
          "; look at the missing ranks' logs for the first failure",
      first);
}

void DeadlineKeeper::CheckSameCall(const std::vector<Call::Words>& calls) const {
  bool same = true;
  for (const Call::Words& words : calls) same = same && words == calls[0];
  if (same) return;
  std::string text;
  for (size_t r = 0; r < calls.size(); ++r) {
    if (Call::FromWords(calls[r]).kind != Call::Kind::kRollCall) continue;
    throw core::PeerError("group '" + group_ + "' was given up in its operation " +
                          std::to_string(sequence_) + " by " + Describe(members_[r]) +
                          ", which waited in vain for what it had started before");
  }
  for (size_t r = 0; r < calls.size(); ++r) {
    text += (r ? ", " : "") + Describe(members_[r]) + ": " + Call::FromWords(calls[r]).text();
  }
  throw core::BugError("the ranks of group '" + group_ +
                       "' called different operations as number " + std::to_string(sequence_) +
                       ": " + text + "; this is a defect in moat, please report it");
}

}  // namespace moat::comm
