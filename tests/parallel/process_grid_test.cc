// The process grid, for thousands of ranks.
#include "parallel/process_grid.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace moat::parallel {
namespace {

TEST(ProcessGrid, EveryRankIsWhereItsIndicesSayUpToFourThousand) {
  for (const int tp : {1, 2, 8}) {
    const ProcessGrid grid(4096, -1, tp);
    EXPECT_EQ(grid.dp() * grid.tp(), 4096);
    for (int rank = 0; rank < 4096; rank += 37) {
      EXPECT_EQ(grid.RankOf(grid.DpIndex(rank), grid.TpIndex(rank)), rank);
      EXPECT_EQ(grid.TensorGroup(rank)[static_cast<size_t>(grid.TpIndex(rank))], rank);
      EXPECT_EQ(grid.DataGroup(rank)[static_cast<size_t>(grid.DpIndex(rank))], rank);
    }
    EXPECT_EQ(grid.TensorGroup(9).back() - grid.TensorGroup(9).front(), tp - 1);  // consecutive
  }
}

TEST(ProcessGrid, MessageIsTheWholeEquation) {
  try {
    ProcessGrid(6, 4, 1);
    FAIL();
  } catch (const core::ConfigError& error) {
    EXPECT_NE(std::string(error.what()).find("4 x 1 = 6"), std::string::npos) << error.what();
  }
  EXPECT_THROW(ProcessGrid(4, -1, -1), core::ConfigError);
  EXPECT_THROW(ProcessGrid(4, 0, 1), core::ConfigError);
  EXPECT_THROW(ProcessGrid(4, -1, 3), core::ConfigError);
  EXPECT_THROW(ProcessGrid(4, -1, 8), core::ConfigError);
}

}  // namespace
}  // namespace moat::parallel
