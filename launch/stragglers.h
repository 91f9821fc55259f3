// Ranks that are persistently slower than the others: named, never ended. Pure.
//
// Ranks step together, so a slow one shows in what it is busy with: its steps' time outside of
// collectives. One that is slower than the others' median in several windows of steps in a row is a
// straggler.
#pragma once

#include <cstdint>
#include <vector>

#include "launch/hang.h"

namespace moat::launch {

inline constexpr uint64_t kStragglerWindow = 10;      // steps, at least
inline constexpr double kStragglerWindowSeconds = 1;  // busy, at least
inline constexpr int kStragglerWindows = 3;           // in a row
inline constexpr double kStragglerTimes = 1.3;        // slower than the others

struct Straggler {
  int rank = 0;
  double busy = 0;    // seconds a step
  double others = 0;  // their median
  uint64_t steps = 0;
};

class StragglerWatch {
 public:
  // To be called again and again; each rank is named once. Nothing while a rank is elsewhere.
  std::vector<Straggler> Look(const std::vector<RankView>& ranks);

 private:
  struct Mark {
    uint64_t steps = 0;
    double busy = 0;
    int slow_windows = 0;
    uint64_t slow_steps = 0;
    bool named = false;
  };
  std::vector<Mark> marks_;
};

}  // namespace moat::launch
