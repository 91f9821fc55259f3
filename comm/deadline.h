// The deadline keeper of a group: what is running, since when, and who is missing.
//
// CPU backends wait by polling in the rank's own thread, so the waiting rank itself notices that a
// peer does not come. The clock runs from the start of each wait: a slow but moving transfer is not
// a lost peer. Waits spin for some microseconds, then yield, then sleep, so that more ranks than
// cores do not steal the core from the rank they wait for.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "comm/call.h"

namespace moat::comm {

inline constexpr double kDefaultDeadlineSeconds = 300;

// A rank as people know it.
struct Member {
  int world_rank = 0;
  std::string host;  // "" where there is only one
  int node = 0;      // the first world rank of those that share its memory
};

class DeadlineKeeper {
 public:
  DeadlineKeeper(std::string group, int rank, std::vector<Member> members);

  // Whoever waits, now or later, throws PeerError soon. From any thread.
  void Abandon() { abandoned_.store(true, std::memory_order_relaxed); }

  void set_seconds(double seconds) { seconds_ = seconds; }
  double seconds() const { return seconds_; }
  const std::vector<Member>& members() const { return members_; }
  // Of ranks of this group, in the order given.
  std::vector<int> WorldRanks(const std::vector<int>& ranks) const;

  // A collective starts; its number in this group counts from 1. Throws PeerError when an earlier
  // one failed: ranks may then disagree about what comes next, so the group is of no more use.
  void Begin(const Call& call);
  void End() { running_ = false; }
  const Call& call() const { return call_; }
  uint64_t sequence() const { return sequence_; }

  // Returns when ready() is true. Past the deadline it throws PeerError with the group, the call,
  // its number and the ranks (of the group) that missing() lists.
  template <typename Ready, typename Missing>
  void Wait(Ready&& ready, Missing&& missing) const {
    for (int spin = 0; spin < kSpins; ++spin) {
      if (ready()) return;
      Relax();
    }
    const double start = Now();
    while (!ready()) {
      if (!Pause(start)) Fail(missing());
    }
  }

  // Throws BugError, on every rank alike, unless all ranks made the call that is running; PeerError
  // where some of them, but not all, make a roll call: they have given the group up.
  void CheckSameCall(const std::vector<Call::Words>& calls) const;

 private:
  static constexpr int kSpins = 100;
  static void Relax();
  static double Now();
  // False: the deadline has passed. Throws PeerError once the group was abandoned.
  bool Pause(double start) const;
  [[noreturn]] void Fail(const std::vector<int>& missing) const;

  std::string group_;
  int rank_;
  std::vector<Member> members_;
  double seconds_ = kDefaultDeadlineSeconds;
  std::atomic<bool> abandoned_{false};
  bool running_ = false;
  uint64_t sequence_ = 0;
  Call call_;
};

}  // namespace moat::comm
