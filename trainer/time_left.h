// TimeLeft: does what a run wants to do next still fit before it must be gone? Pure.
//
// A run that is told when it ends (--end_time, or the scheduler's) saves before that, not when a
// signal comes that may be late. How long before is learned from what its own steps, evaluations
// and saves take.
#pragma once

#include <cstdint>
#include <optional>

namespace moat::trainer {

class TimeLeft {
 public:
  // `seconds`: until the end, at time `now` of a clock that does not jump; nullopt: no end is
  // known.
  TimeLeft(std::optional<double> seconds, double now);

  // What has just been seen to take so many seconds. Of steps the slowest of about the last
  // hundred counts, of the others the slowest ever: they are few.
  void StepTook(double seconds);
  void EvaluationTook(double seconds);
  void SaveTook(double seconds);

  // Is it time to save and go? Yes when another step, an evaluation if one is due, and then the
  // save (two, if another is in flight: the last one waits for it) would not be over with a half
  // again to spare.
  bool IsUp(double now, bool evaluation_due, bool saving) const;
  // Seconds that are kept for the last step and the save. A save nobody has seen yet is taken to
  // last 10 s.
  double reserve(bool evaluation_due, bool saving) const;

 private:
  std::optional<double> end_;
  double step_ = 0, evaluation_ = 0;
  std::optional<double> save_;
};

}  // namespace moat::trainer
