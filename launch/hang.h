// Whether a rank hangs: deadlines learned from the run's own phases. Pure.
//
// A rank may stay in a phase three times as long as the slowest recent one of its kind on any rank,
// and always ten seconds. Nobody knows how long the first one of its kind takes: a step of a large
// batch on few cores may be an hour, so only starting has a bound then, ten minutes (a rank that
// the others wait for in a collective is noticed there, by --collective_timeout). Time counts only
// while somebody watches, so that a machine that slept makes nobody late.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "rundir/board.h"

namespace moat::launch {

inline constexpr double kLeastPhaseBound = 10;  // seconds
inline constexpr double kStartBound = 600;
inline constexpr double kSlowestPhaseTimes = 3;
inline constexpr double kLongestLook = 1;  // seconds between two looks that count

// A rank as the supervisor sees it.
struct RankView {
  // No board yet; of this node, or of one whose watcher shows it; of a node that cannot be seen.
  enum class Where { kAbsent, kHere, kElsewhere };
  Where where = Where::kAbsent;
  rundir::BoardSnapshot board;  // kHere; of kElsewhere the host, if that
};

// How long the rank may stay in its phase, where the slowest recent ones on any rank took `longest`
// seconds, infinite where nobody knows; `fixed` (--hang_timeout), if above 0, is for all phases,
// but lets no rank start in less than kStartBound: that is the launcher's and the node's time.
using PhaseSeconds = std::array<double, rundir::kPhases>;
double PhaseBound(const RankView& rank, const PhaseSeconds& longest, double fixed);

struct Late {
  int rank = 0;
  double seconds = 0;  // in its phase, as far as somebody watched
  double bound = 0;
};

class HangWatch {
 public:
  explicit HangWatch(double fixed) : fixed_(fixed) {}

  // To be called again and again, `now` in seconds: the rank that is late by most, once one is.
  // Ranks elsewhere never are: nobody sees them.
  std::optional<Late> Look(const std::vector<RankView>& ranks, double now);

  double seconds(int rank) const { return seen_[static_cast<size_t>(rank)].seconds; }

 private:
  struct Seen {
    uint64_t phases = 0;
    double seconds = 0;  // in the phase
  };
  double fixed_;
  std::optional<double> looked_at_;
  std::vector<Seen> seen_;
};

// A rank of a hang, with what the system says about its process.
struct Suspect {
  int rank = 0;
  RankView view;
  char state = '?';  // ProcessState() on its node, launch/process_sight.h
};

// The rank the others wait for, as far as can be told: one that is stopped or gone, else one
// outside of collectives; of several the one that has done the fewest steps. nullopt: all wait for
// each other in collectives, as where these do not match, or where the one they wait for is
// elsewhere.
std::optional<int> Culprit(const std::vector<Suspect>& suspects);

}  // namespace moat::launch
