// The lease: one holder, dead ones are taken over, live ones are named.
#include "rundir/lease.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <nlohmann/json.hpp>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "rundir/outcome.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace moat::rundir {
namespace {

class LeaseTest : public ::testing::Test {
 protected:
  void Plant(const LeaseHolder& holder) {
    const nlohmann::json json = {{"host", holder.host},
                                 {"boot", holder.boot},
                                 {"pid", holder.pid},
                                 {"process_start", holder.process_start},
                                 {"renewed_us", holder.renewed_us}};
    core::WriteFileAtomically(layout_.lease(), json.dump());
  }
  LeaseHolder Here(pid_t pid) const {
    return {core::HostName(), core::BootId(), pid, core::ProcessStart(pid),
            core::WallMicroseconds()};
  }
  std::string Refusal() {
    try {
      Lease lease(layout_);
      return "taken" + lease.note();
    } catch (const core::ConfigError& error) {
      return error.what();
    }
  }
  testing::TemporaryDirectory directory_;
  RunLayout layout_{directory_.path()};
};

TEST_F(LeaseTest, IsHeldWhileItLivesAndGoneAfterwards) {
  {
    const Lease lease(layout_);
    EXPECT_TRUE(IsHeld(layout_));
    EXPECT_EQ(lease.note(), "");
    EXPECT_THAT(Refusal(),
                ::testing::HasSubstr("is in use by process " + std::to_string(getpid())));
  }
  EXPECT_FALSE(std::filesystem::exists(layout_.lease()));
  EXPECT_EQ(Refusal(), "taken");
}

TEST_F(LeaseTest, ADeadHolderOnThisHostIsTakenOver) {
  testing::Process child({"true"}, directory_ / "out");
  LeaseHolder holder = Here(child.pid());
  child.Wait();
  Plant(holder);
  EXPECT_THAT(Refusal(), ::testing::HasSubstr("took over the lease of process " +
                                              std::to_string(child.pid())));
}

TEST_F(LeaseTest, AReusedPidIsNotTheHolder) {
  LeaseHolder holder = Here(getpid());
  holder.process_start -= 1;
  Plant(holder);
  EXPECT_THAT(Refusal(), ::testing::StartsWith("taken"));
  holder = Here(getpid());
  holder.boot = "another";
  Plant(holder);
  EXPECT_THAT(Refusal(), ::testing::StartsWith("taken"));
}

TEST_F(LeaseTest, AHolderElsewhereLivesUntilItsLeaseExpires) {
  LeaseHolder holder = Here(1);
  holder.host = "elsewhere";
  Plant(holder);
  EXPECT_THAT(Refusal(), ::testing::HasSubstr("process 1 on host elsewhere"));
  holder.renewed_us -= static_cast<int64_t>((kLeaseSeconds + 1) * 1e6);
  Plant(holder);
  EXPECT_THAT(Refusal(), ::testing::StartsWith("taken"));
}

TEST_F(LeaseTest, GarbageIsNoLease) {
  core::WriteFileAtomically(layout_.lease(), "{\"host\": 3");
  EXPECT_EQ(Refusal(), "taken");
}

TEST_F(LeaseTest, RenewalNoticesATakeover) {
  LeaseHolder other = Here(1);
  other.host = "elsewhere";
  {
    Lease lease(layout_);
    const int64_t before = ReadLease(layout_)->renewed_us;
    lease.Renew();
    EXPECT_GE(ReadLease(layout_)->renewed_us, before);
    Plant(other);
    EXPECT_THROW(lease.Renew(), core::ConfigError);
  }
  EXPECT_EQ(ReadLease(layout_)->host, "elsewhere") << "letting go must not remove another's lease";
}

TEST_F(LeaseTest, ARunningRunWithoutAHolderIsLost) {
  WriteOutcome(layout_, {RunState::kRunning, "ok", 0, {}, 5, true, 1});
  EXPECT_EQ(ConcludeOutcome(layout_)->state, RunState::kLost);
  const Lease lease(layout_);
  EXPECT_EQ(ConcludeOutcome(layout_)->state, RunState::kRunning);
}

}  // namespace
}  // namespace moat::rundir
