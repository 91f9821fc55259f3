// Requests to stop, and processes that do not outlive the one that started them.
#include "core/signals.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/error.h"
#include "core/host.h"
#include "core/orphan.h"
#include "tests/support/process.h"

namespace moat::core {
namespace {

TEST(StopRequest, TheFirstSignalAsksAndSaysWhichCode) {
  const std::pair<int, int> cases[] = {{SIGTERM, 75}, {SIGUSR1, 75}, {SIGUSR2, 75}, {SIGINT, 78}};
  for (const auto& [number, code] : cases) {
    const StopRequest stop;
    EXPECT_FALSE(stop.requested());
    EXPECT_EQ(stop.exit_code(), 0);
    raise(number);
    EXPECT_TRUE(stop.requested());
    EXPECT_EQ(stop.signal(), number);
    EXPECT_EQ(stop.exit_code(), code);
  }
}

TEST(StopRequest, SignalsAreCountedWhereOthersCanSee) {
  std::atomic<uint32_t> count = 0;
  {
    StopRequest stop;
    raise(SIGUSR1);
    stop.CountIn(&count);
    EXPECT_EQ(count, 1u);
  }
  {
    StopRequest stop;
    stop.CountIn(&count);
    EXPECT_EQ(count, 0u);
    raise(SIGTERM);
    EXPECT_EQ(count, 1u);
  }
  const StopRequest stop;
  raise(SIGTERM);
  EXPECT_EQ(count, 1u);
}

TEST(StopRequest, TheSecondSignalEndsTheProcess) {
  EXPECT_EXIT(
      {
        const StopRequest stop;
        raise(SIGUSR1);
        raise(SIGTERM);
      },
      ::testing::ExitedWithCode(128 + SIGTERM), "");
}

TEST(StopRequest, TheSecondSignalOfASupervisedRankIsCountedOnly) {
  std::atomic<uint32_t> count = 0;
  StopRequest stop(SecondSignal::kIsCounted);
  stop.CountIn(&count);
  raise(SIGTERM);
  raise(SIGUSR1);
  EXPECT_EQ(stop.signal(), SIGTERM);
  EXPECT_EQ(count, 2u);
}

TEST(StopRequest, ThereIsOneAtATime) {
  const StopRequest stop;
  EXPECT_THROW(StopRequest(), BugError);
}

// A child that starts a grandchild, tells us its pid, and waits; then the child is killed.
TEST(DieWithParent, AGrandchildGoesWhenItsParentIsKilled) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    const pid_t parent = getpid();
    if (fork() == 0) {
      DieWithParent(parent);
      const pid_t self = getpid();
      if (write(ends[1], &self, sizeof self) != sizeof self) _exit(1);
    }
    while (true) pause();
  }
  pid_t grandchild = 0;
  ASSERT_EQ(read(ends[0], &grandchild, sizeof grandchild), ssize_t{sizeof grandchild});
  EXPECT_NE(ProcessStart(grandchild), 0u);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_TRUE(testing::Eventually(5, [&] { return ProcessStart(grandchild) == 0; }));
  close(ends[0]);
  close(ends[1]);
}

TEST(DieWithParent, AParentThatIsGoneAlreadyEndsTheChild) {
  EXPECT_EXIT(DieWithParent(1 << 22), ::testing::ExitedWithCode(128 + SIGKILL), "");
}

TEST(Host, ProcessesAreKnownByTheirStart) {
  EXPECT_NE(ProcessStart(getpid()), 0u);
  EXPECT_EQ(ProcessStart(getpid()), ProcessStart(getpid()));
  EXPECT_EQ(ProcessStart(1 << 23), 0u);
  EXPECT_FALSE(HostName().empty());
  EXPECT_FALSE(BootId().empty());
  EXPECT_GE(Cores(), 1);
  EXPECT_EQ(ProgramFolder().filename(), "tests");
}

// A frame written at the stack pointer of a generated kernel destroys the heap: seen in 4 of 6 runs
// that were signalled while they trained.
TEST(StopRequest, HandlersRunOnAStackOfTheirOwn) {
  const StopRequest stop;
  for (const int number : {SIGTERM, SIGINT, SIGUSR1, SIGUSR2}) {
    struct sigaction action = {};
    ASSERT_EQ(sigaction(number, nullptr, &action), 0);
    EXPECT_TRUE(action.sa_flags & SA_ONSTACK) << number;
  }
  stack_t stack = {};
  ASSERT_EQ(sigaltstack(nullptr, &stack), 0);
  EXPECT_EQ(stack.ss_flags & SS_DISABLE, 0);
  EXPECT_GE(stack.ss_size, size_t{32} << 10);  // an AVX-512 frame takes some 3 KiB
}

}  // namespace
}  // namespace moat::core
