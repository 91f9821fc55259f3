// Deadlines that are learned from phases, and who is to blame: pure.
#include "launch/hang.h"

#include <gtest/gtest.h>

#include "launch/stragglers.h"

namespace moat::launch {
namespace {

using rundir::Phase;

RankView At(Phase phase, uint64_t phases, double longest, int64_t step = 4) {
  RankView view{RankView::Where::kHere, {}};
  view.board.phase = phase;
  view.board.phases = phases;
  view.board.step = step;
  view.board.longest[static_cast<size_t>(phase)] = longest;
  return view;
}

// How long a rank that stays as it is is watched before it is late; 0: not within the time.
double LateAfter(const RankView& view, double seconds, double fixed = 0) {
  HangWatch watch(fixed);
  for (double now = 1000; now <= 1000 + seconds; now += 0.5) {
    if (watch.Look({view}, now)) return now - 1000;
  }
  return 0;
}

TEST(HangWatch, APhaseMayTakeThreeTimesTheSlowestRecentOne) {
  EXPECT_EQ(PhaseBound(At(Phase::kSaving, 9, 0), {0, 0, 0, 0, 20, 0}, 0), 60);
  EXPECT_NEAR(LateAfter(At(Phase::kSaving, 9, 20), 100), 60, 1);
}

TEST(HangWatch, WhatOneRankLearnedHoldsForAll) {
  HangWatch watch(0);
  const RankView knows = At(Phase::kSaving, 9, 20), other = At(Phase::kSaving, 9, 0.01);
  for (int now = 0; now <= 60; ++now) EXPECT_FALSE(watch.Look({knows, other}, now)) << now;
  EXPECT_TRUE(watch.Look({knows, other}, 61));
}

TEST(HangWatch, TenSecondsAreAlwaysAllowed) {
  EXPECT_NEAR(LateAfter(At(Phase::kStep, 9, 0.01), 100), 10, 1);
}

TEST(HangWatch, AFirstPhaseOfItsKindHasNoBoundButStartingHas) {
  EXPECT_EQ(LateAfter(At(Phase::kStep, 1, 0), 5000), 0);
  EXPECT_EQ(LateAfter(At(Phase::kEvaluating, 9, 0), 5000), 0);
  EXPECT_NEAR(LateAfter(At(Phase::kStarting, 0, 0), 700), kStartBound, 1);
  EXPECT_NEAR(LateAfter({}, 700), kStartBound, 1);  // not there yet
}

TEST(HangWatch, AFixedBoundIsForAllPhases) {
  EXPECT_NEAR(LateAfter(At(Phase::kLoading, 2, 0), 100, 30), 30, 1);
  EXPECT_NEAR(LateAfter(At(Phase::kStep, 2, 100), 100, 30), 30, 1);
  EXPECT_NEAR(LateAfter({}, 700, 30), kStartBound, 1);  // starting takes what it takes
  EXPECT_EQ(LateAfter({}, 700, 1000), 0);
}

TEST(HangWatch, WhoeverEntersPhasesIsNeverLate) {
  HangWatch watch(0);
  for (int look = 0; look < 1000; ++look) {
    EXPECT_FALSE(watch.Look({At(Phase::kStep, static_cast<uint64_t>(look / 8), 0.01)}, look));
  }
}

TEST(HangWatch, TimeInWhichNobodyWatchedDoesNotCount) {
  HangWatch watch(0);
  const RankView view = At(Phase::kStep, 9, 0.01);
  EXPECT_FALSE(watch.Look({view}, 0));
  EXPECT_FALSE(watch.Look({view}, 3600));  // the machine slept
}

TEST(HangWatch, RanksOfOtherNodesAreNotSeen) {
  EXPECT_EQ(LateAfter({RankView::Where::kElsewhere, {}}, 2000), 0);
}

Suspect Of(int rank, char state, bool inside, uint64_t sequence, int64_t step = 4) {
  Suspect suspect{rank, At(Phase::kStep, 9, 0.01, step), state};
  suspect.view.board.groups = {{"data", "all_reduce", 1, sequence, inside, 0}};
  return suspect;
}

TEST(Culprit, IsTheStoppedOne) {
  EXPECT_EQ(Culprit({Of(0, 'R', false, 3), Of(1, 'T', true, 4), Of(2, 'S', true, 4)}), 1);
  EXPECT_EQ(Culprit({Of(0, 'S', true, 4), Of(1, 'S', true, 4), Of(2, '-', true, 4)}), 2);
}

TEST(Culprit, ElseTheOneOutsideOfCollectives) {
  EXPECT_EQ(Culprit({Of(0, 'S', true, 4), Of(1, 'S', true, 4), Of(2, 'R', false, 3)}), 2);
}

TEST(Culprit, OfSeveralIsTheOneThatIsBehind) {
  EXPECT_EQ(Culprit({Of(0, 'S', false, 4, 5), Of(1, 'S', false, 4, 4)}), 1);
}

TEST(Culprit, IsNobodyWhereAllWaitInCollectives) {
  EXPECT_FALSE(Culprit({Of(0, 'S', true, 4), Of(1, 'S', true, 4)}));
}

// Ranks after so many steps, with what each was busy for in one of them.
std::vector<RankView> After(uint64_t steps, const std::vector<double>& busy) {
  std::vector<RankView> ranks;
  for (const double seconds : busy) {
    RankView view{RankView::Where::kHere, {}};
    view.board.steps = steps;
    view.board.busy_seconds = seconds * static_cast<double>(steps);
    ranks.push_back(view);
  }
  return ranks;
}

TEST(StragglerWatch, NamesTheSlowRankWithinFortySteps) {
  StragglerWatch watch;
  std::vector<Straggler> named;
  for (uint64_t steps = 0; steps <= 40; ++steps) {
    const auto found = watch.Look(After(steps, {0.2, 0.2, 0.31, 0.21}));
    named.insert(named.end(), found.begin(), found.end());
  }
  ASSERT_EQ(named.size(), 1u);
  EXPECT_EQ(named[0].rank, 2);
  EXPECT_NEAR(named[0].busy, 0.31, 1e-9);
  EXPECT_NEAR(named[0].others, 0.2, 1e-9);
  EXPECT_GE(named[0].steps, 30u);
}

TEST(StragglerWatch, NamesNobodyForADifferenceThatEveryMachineHas) {
  StragglerWatch watch;
  for (uint64_t steps = 0; steps <= 400; ++steps) {
    EXPECT_TRUE(watch.Look(After(steps, {0.2, 0.25})).empty());
  }
}

TEST(StragglerWatch, NamesNobodyForBeingSlowOnce) {
  StragglerWatch watch;
  double first = 0, second = 0;
  for (uint64_t steps = 1; steps <= 400; ++steps) {
    first += 0.2;
    second += steps / 10 % 4 < 2 ? 0.5 : 0.2;
    std::vector<RankView> ranks = After(steps, {0, 0});
    ranks[0].board.busy_seconds = first;
    ranks[1].board.busy_seconds = second;
    EXPECT_TRUE(watch.Look(ranks).empty()) << steps;
  }
}

}  // namespace
}  // namespace moat::launch
