// The end of a job whose rank throws, dies, hangs or aborts: prompt, with a failure to report, and
// nothing left behind.
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/clock.h"

namespace moat {
namespace {

struct Ending {
  int status = 0;
  std::string output;
  double seconds = 0;
};

Ending RunJob(const std::string& path, const std::string& how) {
  setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
  setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
  const std::string command = "MOAT_COMM_PATH=" + path +
                              " timeout -s KILL 60 " MOAT_MPIEXEC
                              " --oversubscribe --bind-to none"
                              " -np 3 " MOAT_BINARY_DIR "/tests/die_once " +
                              how + " 2>&1";
  const double start = core::MonotonicSeconds();
  FILE* const pipe = popen(command.c_str(), "r");
  Ending ending;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) {
    ending.output.append(buffer, n);
  }
  ending.status = pclose(pipe);
  ending.seconds = core::MonotonicSeconds() - start;
  return ending;
}

int Segments() {
  int segments = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    segments += entry.path().filename().string().rfind("moat-", 0) == 0;
  }
  return segments;
}

class JobWhoseRank : public ::testing::TestWithParam<const char*> {
 protected:
  // Well under the deadline of 300 s that the waiting ranks have.
  void ExpectEnds(const std::string& how, const std::string& says) {
    const int before = Segments();
    const Ending ending = RunJob(GetParam(), how);
    EXPECT_NE(ending.status, 0);
    EXPECT_LT(ending.seconds, 30);
    EXPECT_NE(ending.output.find(says), std::string::npos) << ending.output;
    EXPECT_EQ(Segments(), before);
  }
};
INSTANTIATE_TEST_SUITE_P(Paths, JobWhoseRank, ::testing::Values("shm", "network"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(JobWhoseRank, ThrowsEndsWithItsMessage) {
  ExpectEnds("throw", "moat: error: the last rank met a bad record");
}
TEST_P(JobWhoseRank, IsKilledEnds) { ExpectEnds("kill", "signal 9"); }
TEST_P(JobWhoseRank, HangsEndsWithItsName) { ExpectEnds("absent", "missing: rank 2"); }
TEST_P(JobWhoseRank, AbortsEnds) { ExpectEnds("abort", ""); }  // mpirun says it in its own words

TEST(JobThatEndsWell, ReturnsZero) {
  const Ending ending = RunJob("shm", "well");
  EXPECT_EQ(ending.status, 0) << ending.output;
}

}  // namespace
}  // namespace moat
