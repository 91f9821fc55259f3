// Which ends of an attempt are answered with another one.
#include "launch/restart.h"

#include <gtest/gtest.h>

namespace moat::launch {
namespace {

TEST(RestartPolicy, ALostPeerIsAnsweredAsLongAsThereIsProgress) {
  RestartPolicy policy(5);
  int64_t step = -1;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(policy.After(76, step, step + 10, false), AfterAttempt::kStartAgain);
    step += 10;
  }
  EXPECT_EQ(policy.After(76, step, step + 10, false), AfterAttempt::kEnd);  // as often as asked for
}

TEST(RestartPolicy, ThreeAttemptsWithoutProgressAreEnough) {
  RestartPolicy policy(100);
  EXPECT_EQ(policy.After(76, 20, 20, false), AfterAttempt::kStartAgain);
  EXPECT_EQ(policy.After(76, 20, 20, false), AfterAttempt::kStartAgain);
  EXPECT_EQ(policy.After(76, 20, 40, false), AfterAttempt::kStartAgain);  // counted anew
  EXPECT_EQ(policy.After(76, 40, 40, false), AfterAttempt::kStartAgain);
  EXPECT_EQ(policy.After(76, 40, 40, false), AfterAttempt::kStartAgain);
  EXPECT_EQ(policy.After(76, 40, 40, false), AfterAttempt::kGiveUp);
}

TEST(RestartPolicy, OtherEndsAreFinal) {
  for (const int code : {0, 2, 65, 69, 70, 71, 75, 78, 79, 93, 137}) {
    EXPECT_EQ(RestartPolicy(9).After(code, 0, 10, false), AfterAttempt::kEnd) << code;
  }
  EXPECT_EQ(RestartPolicy(9).After(76, 0, 10, true), AfterAttempt::kEnd);  // told to stop meanwhile
  EXPECT_EQ(RestartPolicy(0).After(76, 0, 10, false), AfterAttempt::kEnd);
}

TEST(RestartPolicy, StorageIsTriedAgainAfterProgressOnly) {
  EXPECT_EQ(RestartPolicy(9).After(74, 0, 10, false), AfterAttempt::kStartAgain);
  EXPECT_EQ(RestartPolicy(9).After(74, 10, 10, false), AfterAttempt::kEnd);
}

}  // namespace
}  // namespace moat::launch
