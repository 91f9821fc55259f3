// The process grid.
#include "parallel/process_grid.h"

#include "core/error.h"

namespace moat::parallel {

ProcessGrid::ProcessGrid(int world_size, int dp, int tp) : dp_(dp), tp_(tp) {
  const auto fail = [&](const std::string& why) {
    throw core::ConfigError("the grid does not fit: dp x tp = ranks, but " + std::to_string(dp) +
                            " x " + std::to_string(tp) + " = " + std::to_string(world_size) + " " +
                            why + "; choose --dp and --tp whose product is " +
                            std::to_string(world_size) + ", or start another number of ranks");
  };
  if (world_size < 1 || dp == 0 || tp == 0 || dp < -1 || tp < -1)
    fail("has a size that is not positive");
  if (dp == -1 && tp == -1) fail("leaves both sizes open (only one may be -1)");
  if (dp == -1) dp_ = world_size / tp;
  if (tp == -1) tp_ = world_size / dp;
  if (dp_ < 1 || tp_ < 1 || dp_ * tp_ != world_size) fail("does not hold");
}

std::vector<int> ProcessGrid::DataGroup(int rank) const {
  std::vector<int> ranks;
  for (int i = 0; i < dp_; ++i) ranks.push_back(RankOf(i, TpIndex(rank)));
  return ranks;
}

std::vector<int> ProcessGrid::TensorGroup(int rank) const {
  std::vector<int> ranks;
  for (int i = 0; i < tp_; ++i) ranks.push_back(RankOf(DpIndex(rank), i));
  return ranks;
}

std::string ProcessGrid::text() const {
  return "dp=" + std::to_string(dp_) + " x tp=" + std::to_string(tp_);
}

}  // namespace moat::parallel
