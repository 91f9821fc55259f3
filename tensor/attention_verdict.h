// May a library's pass of attention stand in for our own? Pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moat::tensor {

// One result of a pass, by three runs of it, in f32: [slots, the sum of parts].
struct AttentionResult {
  std::vector<float> own, library, later;  // `later`: the library's, many runs after the first
  std::vector<int64_t> parts;              // elements of a slot that are compared by themselves
  double most;                             // difference that is rounding's: of L2 norms, relative
};

// What is wrong with the library's, for a log; empty where nothing is: each part is ours to
// rounding, and both runs have the same bits. NaN is always wrong.
std::string WhyNotOurs(const AttentionResult& result);

}  // namespace moat::tensor
