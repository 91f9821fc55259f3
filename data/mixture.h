// Mixture: which of several data sets each sample of a run comes from, as a pure function of
// (weights, sample number).
//
// The data sets are the leaves of a Huffman tree over their weights. A node with sides l and r
// sends its first c numbers to l in floor((c * w(l) + w/2) / w) cases, w = w(l) + w(r): which of
// them is the mechanical word of slope w(l) / w and intercept 1/2 (Lothaire, Algebraic
// Combinatorics on Words, 2002, section 2.1.2), so each side's count stays within 1/2 of its share
// of c. Counts are exact integers: no history, no state but n, any number in the time of the tree's
// depth, and a number's place among those of its data set comes with it.
//
// Spread: of the first n numbers a data set of weight w(d) out of W gets within 1/2 of n * w(d) / W
// of two data sets, within 1 of three, within 2 of any number. (A node's excess is at most 1/2 plus
// its part of its parent's; under Huffman's rule an inner node is at most 2/3 of its parent, so
// inner nodes stay within 1/2 / (1 - 2/3) = 3/2.) Of W numbers in a row from a multiple of W on
// each gets exactly w(d): with the numbers of samples as weights, an epoch of everything together
// ends with every data set's own.
#pragma once

#include <cstdint>
#include <vector>

namespace moat::data {

struct MixedNumber {
  int32_t part = 0;     // which data set
  uint64_t number = 0;  // its own sample number: 0, 1, 2, ... over its epochs

  bool operator==(const MixedNumber&) const = default;
};

class Mixture {
 public:
  // REQUIRES: at least one weight, each at least 1, their sum below 2^63.
  explicit Mixture(const std::vector<uint64_t>& weights);

  MixedNumber Of(uint64_t sample_number) const;
  // How many of the first `sample_numbers` are of `part`.
  uint64_t CountOf(int32_t part, uint64_t sample_numbers) const;

 private:
  struct Node {
    uint64_t weight = 0;
    int32_t left = -1, right = -1;  // nodes; -1: a leaf, whose index is its part
    int32_t parent = -1;

    bool leaf() const { return left < 0; }
  };
  // How many of the first `count` numbers of `node` go to its left side.
  uint64_t LeftOf(const Node& node, uint64_t count) const;

  std::vector<Node> nodes_;  // the leaves, then inner nodes; the last one is the root
};

// Weights as a user gives them, as whole billionths that sum to exactly one billion: rounded down,
// and what is left to the largest remainders (ties to the first). REQUIRES: each at least a
// millionth of their sum, all finite.
std::vector<uint64_t> Billionths(const std::vector<double>& weights);

}  // namespace moat::data
