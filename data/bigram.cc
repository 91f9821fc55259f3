// The bigram model and its expectation maximisation.
#include "data/bigram.h"

#include <algorithm>
#include <bit>

namespace moat::data {
namespace {

uint64_t PairKey(int32_t previous, int32_t target) {
  return uint64_t{static_cast<uint32_t>(previous)} << 32 | static_cast<uint32_t>(target);
}

}  // namespace

BigramModel::BigramModel(int64_t vocab_size)
    : vocab_size_(vocab_size),
      targets_(static_cast<size_t>(vocab_size)),
      contexts_(static_cast<size_t>(vocab_size)) {
  weights_.fill({1.0 / 3, 1.0 / 3, 1.0 / 3});
}

void BigramModel::Add(const ScoredToken& token) {
  ++targets_[static_cast<size_t>(token.target)];
  ++contexts_[static_cast<size_t>(token.previous)];
  ++pairs_[PairKey(token.previous, token.target)];
  ++total_;
}

size_t BigramModel::BucketOf(int32_t previous) const {
  const auto count = static_cast<uint64_t>(contexts_[static_cast<size_t>(previous)]);
  return std::min<size_t>(static_cast<size_t>(std::bit_width(count)), kBuckets - 1);
}

BigramModel::Parts BigramModel::PartsOf(int32_t previous, int32_t target) const {
  Parts parts{1.0 / static_cast<double>(vocab_size_), 0, 0};
  if (total_ == 0) return parts;
  parts[1] =
      static_cast<double>(targets_[static_cast<size_t>(target)]) / static_cast<double>(total_);
  const auto found = pairs_.find(PairKey(previous, target));
  if (found != pairs_.end()) {
    parts[2] = static_cast<double>(found->second) /
               static_cast<double>(contexts_[static_cast<size_t>(previous)]);
  }
  return parts;
}

void BigramModel::Tune(const std::vector<ScoredToken>& held_out) {
  constexpr int kRounds = 50;
  for (int round = 0; round < kRounds; ++round) {
    // One imaginary token spread over the parts keeps every weight above 0.
    std::array<Parts, kBuckets> credit;
    credit.fill({1.0 / 3, 1.0 / 3, 1.0 / 3});
    for (const ScoredToken& token : held_out) {
      const Parts parts = PartsOf(token.previous, token.target);
      const size_t bucket = BucketOf(token.previous);
      const double p = Probability(token.previous, token.target);
      for (size_t k = 0; k < parts.size(); ++k) {
        credit[bucket][k] += weights_[bucket][k] * parts[k] / p;
      }
    }
    for (size_t b = 0; b < kBuckets; ++b) {
      const double sum = credit[b][0] + credit[b][1] + credit[b][2];
      for (size_t k = 0; k < 3; ++k) weights_[b][k] = credit[b][k] / sum;
    }
  }
}

double BigramModel::Probability(int32_t previous, int32_t target) const {
  const Parts parts = PartsOf(previous, target);
  const Parts& weights = weights_[BucketOf(previous)];
  double p = weights[0] * parts[0] + weights[1] * parts[1] + weights[2] * parts[2];
  // A context never seen has no bigram distribution: its share goes to the others.
  if (contexts_[static_cast<size_t>(previous)] == 0) p /= weights[0] + weights[1];
  return p;
}

}  // namespace moat::data
