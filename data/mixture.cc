// The tree of data sets, and the way through it.
#include "data/mixture.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace moat::data {

__extension__ using Wide = unsigned __int128;  // a sample number times a weight

Mixture::Mixture(const std::vector<uint64_t>& weights) {
  MOAT_CHECK(!weights.empty(), "a mixture has parts");
  std::vector<int32_t> open;  // roots of the trees that are not joined yet
  for (const uint64_t weight : weights) {
    MOAT_CHECK(weight > 0, "every part of a mixture weighs something");
    open.push_back(static_cast<int32_t>(nodes_.size()));
    nodes_.push_back({weight});
  }
  const auto take_lightest = [&] {
    const auto lightest = std::min_element(open.begin(), open.end(), [&](int32_t a, int32_t b) {
      return nodes_[static_cast<size_t>(a)].weight < nodes_[static_cast<size_t>(b)].weight;
    });
    const int32_t node = *lightest;
    open.erase(lightest);
    return node;
  };
  while (open.size() > 1) {
    const int32_t right = take_lightest(), left = take_lightest();
    const auto joined = static_cast<int32_t>(nodes_.size());
    nodes_[static_cast<size_t>(left)].parent = nodes_[static_cast<size_t>(right)].parent = joined;
    nodes_.push_back(
        {nodes_[static_cast<size_t>(left)].weight + nodes_[static_cast<size_t>(right)].weight, left,
         right});
    open.push_back(joined);
  }
  MOAT_CHECK(nodes_.back().weight < uint64_t{1} << 63, "weights sum to less than 2^63");
}

uint64_t Mixture::LeftOf(const Node& node, uint64_t count) const {
  const Wide left = nodes_[static_cast<size_t>(node.left)].weight;
  return static_cast<uint64_t>((count * left + node.weight / 2) / node.weight);
}

MixedNumber Mixture::Of(uint64_t sample_number) const {
  size_t at = nodes_.size() - 1;
  uint64_t number = sample_number;
  while (!nodes_[at].leaf()) {
    const Node& node = nodes_[at];
    const uint64_t left = LeftOf(node, number);
    const bool goes_left = LeftOf(node, number + 1) > left;
    number = goes_left ? left : number - left;
    at = static_cast<size_t>(goes_left ? node.left : node.right);
  }
  return {static_cast<int32_t>(at), number};
}

uint64_t Mixture::CountOf(int32_t part, uint64_t sample_numbers) const {
  std::vector<size_t> way = {static_cast<size_t>(part)};  // from the leaf up to the root
  while (nodes_[way.back()].parent >= 0) {
    way.push_back(static_cast<size_t>(nodes_[way.back()].parent));
  }
  uint64_t count = sample_numbers;
  for (size_t i = way.size() - 1; i > 0; --i) {
    const Node& node = nodes_[way[i]];
    const uint64_t left = LeftOf(node, count);
    count = static_cast<size_t>(node.left) == way[i - 1] ? left : count - left;
  }
  return count;
}

std::vector<uint64_t> Billionths(const std::vector<double>& weights) {
  constexpr uint64_t kBillion = 1'000'000'000;
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<uint64_t> parts;
  std::vector<double> remainders;
  for (const double weight : weights) {
    const double exact = weight / sum * static_cast<double>(kBillion);
    parts.push_back(static_cast<uint64_t>(exact));
    remainders.push_back(exact - static_cast<double>(parts.back()));
  }
  uint64_t given = std::accumulate(parts.begin(), parts.end(), uint64_t{0});
  // Rounding of the quotients may leave a billionth more than there are parts, or one too many.
  for (; given > kBillion; --given) --*std::max_element(parts.begin(), parts.end());
  for (; given < kBillion; ++given) {
    const auto largest = std::max_element(remainders.begin(), remainders.end());
    ++parts[static_cast<size_t>(largest - remainders.begin())];
    *largest -= 1;
  }
  return parts;
}

}  // namespace moat::data
