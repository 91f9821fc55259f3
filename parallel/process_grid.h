// The process grid: dp x tp ranks, as pure arithmetic.
//
// rank = dp_index * tp + tp_index, so a tensor group is consecutive ranks (of one node, when tp
// divides the ranks per node).
#pragma once

#include <string>
#include <vector>

namespace moat::parallel {

class ProcessGrid {
 public:
  // One of dp and tp may be -1: it becomes what is left. Throws ConfigError with the whole equation
  // when it does not divide.
  ProcessGrid(int world_size, int dp, int tp);

  int dp() const { return dp_; }
  int tp() const { return tp_; }
  int size() const { return dp_ * tp_; }
  int DpIndex(int rank) const { return rank / tp_; }
  int TpIndex(int rank) const { return rank % tp_; }
  int RankOf(int dp_index, int tp_index) const { return dp_index * tp_ + tp_index; }
  std::vector<int> DataGroup(int rank) const;  // ranks with the same tp_index, in order of dp_index
  std::vector<int> TensorGroup(
      int rank) const;       // ranks with the same dp_index, in order of tp_index
  std::string text() const;  // "dp=2 x tp=1"

 private:
  int dp_;
  int tp_;
};

}  // namespace moat::parallel
