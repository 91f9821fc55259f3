// The time a run has left.
#include "trainer/time_left.h"

#include <algorithm>

namespace moat::trainer {
namespace {

constexpr double kUnknownSave = 10;
constexpr double kSpare = 1.5;
constexpr double kForget =
    0.97;                    // by step: a slow one counts less than a usual one after a hundred
constexpr double kExit = 2;  // for processes to end

}  // namespace

TimeLeft::TimeLeft(std::optional<double> seconds, double now) {
  if (seconds) end_ = now + *seconds;
}

void TimeLeft::StepTook(double seconds) { step_ = std::max(seconds, step_ * kForget); }

void TimeLeft::EvaluationTook(double seconds) { evaluation_ = std::max(seconds, evaluation_); }

void TimeLeft::SaveTook(double seconds) { save_ = std::max(seconds, save_.value_or(0)); }

double TimeLeft::reserve(bool evaluation_due, bool saving) const {
  const double saves = (saving ? 2 : 1) * save_.value_or(kUnknownSave);
  return kSpare * (step_ + (evaluation_due ? evaluation_ : 0) + saves) + kExit;
}

bool TimeLeft::IsUp(double now, bool evaluation_due, bool saving) const {
  return end_ && now + reserve(evaluation_due, saving) >= *end_;
}

}  // namespace moat::trainer
