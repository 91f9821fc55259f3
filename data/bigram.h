// An interpolated, smoothed bigram model over tokens: the baseline a trained model has to beat.
//
// p(t | c) = l2 n(c, t) / n(c) + l1 n(t) / n + l0 / V, after Jelinek and Mercer (1980). The weights
// are one set per magnitude of n(c), so that frequent contexts trust their bigrams more, and are
// fitted by expectation maximisation on tokens the counts have not seen.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace moat::data {

struct ScoredToken {
  int32_t previous = 0;
  int32_t target = 0;
};

class BigramModel {
 public:
  explicit BigramModel(int64_t vocab_size);

  void Add(const ScoredToken& token);

  // Fits the interpolation weights to `held_out`, which must not have been added yet.
  void Tune(const std::vector<ScoredToken>& held_out);

  double Probability(int32_t previous, int32_t target) const;

 private:
  static constexpr size_t kBuckets = 24;  // n(c) = 0, 1, 2-3, 4-7, ...
  using Parts = std::array<double, 3>;    // uniform, unigram, bigram

  Parts PartsOf(int32_t previous, int32_t target) const;
  size_t BucketOf(int32_t previous) const;

  int64_t vocab_size_;
  int64_t total_ = 0;
  std::vector<int64_t> targets_;   // n(t)
  std::vector<int64_t> contexts_;  // n(c)
  std::unordered_map<uint64_t, int64_t> pairs_;
  std::array<Parts, kBuckets> weights_{};
};

}  // namespace moat::data
