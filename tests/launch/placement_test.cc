// How many ranks go where.
#include "launch/placement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/launch/job.h"
#include "tests/support/errors.h"

namespace moat::launch {
namespace {

Placement Of(const std::vector<std::string>& flags) { return Place(Job(flags).config); }

TEST(Placement, WhatIsLeftOpenIsFilledIn) {
  EXPECT_EQ(Of({}).ranks(), 1);
  EXPECT_EQ(Of({"--tp=2"}).ranks(), 2);
  EXPECT_EQ(Of({"--dp=4", "--tp=2", "--on=slurm", "--nodes=2"}).ranks_per_node, 4);
  EXPECT_EQ(Of({"--on=slurm", "--nodes=4", "--ranks_per_node=8", "--tp=2"}).dp, 16);
  EXPECT_EQ(Of({"--on=slurm", "--nodes=4", "--gpus_per_node=8"}).dp, 32);
}

TEST(Placement, TheEquationIsShownWhereItDoesNotHold) {
  const auto message = [](const std::vector<std::string>& flags) {
    return testing::ErrorOf(core::ExitCode::kConfig, [&] { Of(flags); });
  };
  EXPECT_THAT(message({"--on=slurm", "--nodes=3", "--dp=4"}),
              ::testing::HasSubstr("nodes 3 x ranks_per_node ? = dp 4 x tp 1"));
  EXPECT_THAT(message({"--on=slurm", "--nodes=2", "--ranks_per_node=4", "--dp=4"}),
              ::testing::HasSubstr("nodes 2 x ranks_per_node 4 = dp 4 x tp 1"));
  EXPECT_THAT(message({"--on=slurm", "--nodes=2", "--ranks_per_node=3", "--tp=2"}),
              ::testing::HasSubstr("--tp=2 does not divide the 3 ranks of a node"));
}

}  // namespace
}  // namespace moat::launch
