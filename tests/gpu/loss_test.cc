// Cross-entropy, whole and of a part of the vocabulary, on every device.
#include "tests/gpu/conformance.h"

namespace moat {
namespace {

using core::DType;
using testing::Place;
using testing::RandomValues;

class LossTest : public testing::ConformanceTest {};
MOAT_ON_EVERY_DEVICE(LossTest);

constexpr int64_t kRows = 7;
const std::vector<float> kWeights = {1, 0.5f, 2, 0, 0.25f, 1, 0};

std::vector<int32_t> Targets(int64_t vocab) {
  std::vector<int32_t> targets;
  for (int32_t r = 0; r < kRows; ++r) {
    targets.push_back(static_cast<int32_t>(r == 0 ? 0 : (vocab - 1) / r));
  }
  return targets;
}

TEST_P(LossTest, CrossEntropyAndItsGradientAlsoInPlaceAndWithout) {
  for (const int64_t vocab : {5, 301, 512, 4100}) {
    const auto logits = RandomValues("logits", kRows * vocab, 8);
    ExpectAgrees("CrossEntropy of " + std::to_string(vocab),
                 [&](Place& at) {
                   const auto targets = at.InI32(Targets(vocab));
                   const auto weights = at.InF32(kWeights), from = at.InF32(logits);
                   tensor::CrossEntropy(from, targets, weights, at.OutF32(kRows),
                                        at.Out(kRows * vocab), at.stream());
                   tensor::CrossEntropy(from, targets, weights, at.OutF32(kRows), {}, at.stream());
                   const auto own = at.OutF32(logits);
                   tensor::CrossEntropy(own, targets, weights, at.OutF32(kRows), own, at.stream());
                 },
                 {.f32_results = 3});
  }
}

TEST_P(LossTest, HugeLogitsStayFiniteAndImpossibleTokensHaveNoGradient) {
  ExpectAgrees("CrossEntropy", [&](Place& at) {
    const auto logits = at.InF32({1e4f, -1e4f, 0, 3e4f, -INFINITY, 2, -INFINITY, 1});
    tensor::CrossEntropy(logits, at.InI32({3, 1}), at.InF32({1, 1}), at.OutF32(2), at.Out(8),
                         at.stream());
  });
}

TEST_P(LossTest, PartsOfTheVocabularyGiveTheirStatisticsLossAndGradient) {
  for (const std::vector<int64_t>& cuts :
       {std::vector<int64_t>{0, 100, 101, 301}, std::vector<int64_t>{0, 256, 512}}) {
    const int64_t vocab = cuts.back(), parts = std::ssize(cuts) - 1;
    const auto logits = RandomValues("logits", kRows * vocab, 8);
    ExpectAgrees(std::to_string(parts) + " parts", [&](Place& at) {
      const auto targets = at.InI32(Targets(vocab));
      const auto weights = at.InF32(kWeights);
      const auto statistics = at.OutF32(parts * kRows * tensor::kPartStatistics);
      std::vector<tensor::ConstView> of_parts;
      for (int64_t p = 0; p < parts; ++p) {
        const int64_t begin = cuts[static_cast<size_t>(p)], end = cuts[static_cast<size_t>(p) + 1];
        std::vector<float> columns;
        for (int64_t r = 0; r < kRows; ++r) {
          columns.insert(columns.end(), logits.begin() + r * vocab + begin,
                         logits.begin() + r * vocab + end);
        }
        of_parts.push_back(at.InF32(columns));
        const int64_t each = kRows * tensor::kPartStatistics;
        tensor::PartStatistics(of_parts.back(), targets, begin, statistics.Range(p * each, each),
                               at.stream());
      }
      for (int64_t p = 0; p < parts; ++p) {
        const tensor::ConstView part = of_parts[static_cast<size_t>(p)];
        const int64_t begin = cuts[static_cast<size_t>(p)];
        tensor::CrossEntropyOfPart(statistics, part, targets, begin, weights, at.OutF32(kRows),
                                   at.Out(part.count), at.stream());
        tensor::CrossEntropyOfPart(statistics, part, targets, begin, weights, at.OutF32(kRows), {},
                                   at.stream());
      }
    });
  }
}

}  // namespace
}  // namespace moat
