// Which groups go to validation and test: the order is given, the fractions are asked for.
#pragma once

#include <cstdint>

#include "data/external_sort.h"
#include "data/split.h"

namespace moat::data {

struct GroupsInOrder {
  const ExternalSort<3>& order;  // key of the order, group, bytes; closed
  int64_t groups = 0;
  double total_bytes = 0;  // of all interactions, also of those in no group
};

// Takes groups in their order until a side holds its fraction of the bytes, and adds (group, side)
// to `chosen` for each; the rest is for training.
//
// By time the order is from the newest on: test is filled first, then validation, and no group is
// passed over. Otherwise validation comes first, and a group that would overshoot by half is passed
// over. No side that is asked for stays empty while there are groups for all of them (two, or three
// with a test split): where every group is too large, it gets the smallest.
void ChooseGroups(const GroupsInOrder& in, const SplitRequest& request, ExternalSort<2>* chosen);

}  // namespace moat::data
