// Files of hosts, with and without a host that was lost.
#include "launch/hostfile.h"

#include <gtest/gtest.h>

namespace moat::launch {
namespace {

constexpr char kHosts[] =
    "# ours\nn1 slots=4\nada@n2.example.org slots=4 # old\n\n10.9.0.3 slots=4\nn1 slots=4\n";

TEST(Hostfile, NamesEachHostOnce) {
  EXPECT_EQ(HostsOf(kHosts), (std::vector<std::string>{"n1", "n2.example.org", "10.9.0.3"}));
}

TEST(Hostfile, WithoutAHostByItsNameOrAddress) {
  EXPECT_EQ(WithoutHost(kHosts, "n2", "10.9.0.2", 2),
            "# ours\nn1 slots=4\n\n10.9.0.3 slots=4\nn1 slots=4\n");
  EXPECT_EQ(WithoutHost(kHosts, "n3", "10.9.0.3", 2),
            "# ours\nn1 slots=4\nada@n2.example.org slots=4 # old\n\nn1 slots=4\n");
}

TEST(Hostfile, StaysAsItIsWhereTooFewWouldBeLeftOrTheHostIsNotInIt) {
  EXPECT_FALSE(WithoutHost(kHosts, "n2", "10.9.0.2", 3));
  EXPECT_FALSE(WithoutHost(kHosts, "n9", "10.9.0.9", 1));
}

}  // namespace
}  // namespace moat::launch
