// Norms and sums of columns on every device.
#include "tests/gpu/conformance.h"

namespace moat {
namespace {

using testing::Place;
using testing::RandomValues;

class NormTest : public testing::ConformanceTest {};
MOAT_ON_EVERY_DEVICE(NormTest);

struct Shape {
  int64_t rows, width;
  std::string name() const { return std::to_string(rows) + "x" + std::to_string(width); }
};

// Rows of one pack and less, of part of a block's packs, of more than stay in registers; more rows
// than there are groups of.
const Shape kShapes[] = {{3, 7}, {33, 257}, {5, 768}, {2, 4608}, {70, 64}};

// dx takes the place of dy; the second time the weight's gradient adds up.
TEST_P(NormTest, RmsNormAndItsGradient) {
  for (const Shape& shape : kShapes) {
    const int64_t n = shape.rows * shape.width;
    ExpectAgrees("RMSNorm " + shape.name(),
                 [&](Place& at) {
                   const auto x = at.In(RandomValues("x", n, 3));
                   const auto weight = at.In(RandomValues("w", shape.width));
                   const auto y = at.Out(n);
                   const auto dx = at.Out(RandomValues("dy", n)),
                              dx2 = at.Out(RandomValues("dy2", n));
                   const auto inverse = at.OutF32(shape.rows), dweight = at.OutF32(shape.width);
                   tensor::RmsNorm(x, weight, y, inverse, 1e-5, at.stream());
                   tensor::RmsNormGrad(x, weight, inverse, dx, dx, dweight, false, at.stream());
                   tensor::RmsNormGrad(x, weight, inverse, dx2, dx2, dweight, true, at.stream());
                 },
                 {.f32_results = 2});
  }
}

TEST_P(NormTest, LayerNormAndItsGradientWithAndWithoutBias) {
  for (const Shape& shape : kShapes) {
    for (const bool biased : {true, false}) {
      const int64_t n = shape.rows * shape.width;
      const auto width = static_cast<size_t>(shape.width);
      ExpectAgrees("LayerNorm " + shape.name(),
                   [&](Place& at) {
                     const auto x = at.In(RandomValues("x", n, 3)),
                                weight = at.In(RandomValues("w", shape.width));
                     const auto bias =
                         biased ? at.In(RandomValues("b", shape.width)) : tensor::ConstView{};
                     const auto y = at.Out(n), dx = at.Out(RandomValues("dy", n));
                     const auto mean = at.OutF32(shape.rows), inverse = at.OutF32(shape.rows);
                     // Sums that go on where there is a bias, fresh ones where there is none.
                     const auto dweight = biased ? at.OutF32(std::vector<float>(width, 0.5f))
                                                 : at.OutF32(shape.width);
                     const auto dbias =
                         biased ? at.OutF32(std::vector<float>(width, 0.25f)) : tensor::View{};
                     tensor::LayerNorm(x, weight, bias, y, mean, inverse, 1e-5, at.stream());
                     tensor::LayerNormGrad(x, weight, mean, inverse, dx, dx, dweight, dbias, biased,
                                           at.stream());
                   },
                   {.f32_results = biased ? size_t{4} : 3});
    }
  }
}

TEST_P(NormTest, BiasGradSumsColumns) {
  for (const Shape& shape : {Shape{1, 1}, Shape{9, 130}, Shape{150, 264}, Shape{700, 33}}) {
    for (const bool accumulate : {false, true}) {
      ExpectAgrees("BiasGrad " + shape.name(),
                   [&](Place& at) {
                     const auto dy = at.In(RandomValues("dy", shape.rows * shape.width));
                     const auto dbias = accumulate ? at.OutF32(RandomValues("start", shape.width))
                                                   : at.OutF32(shape.width);
                     tensor::BiasGrad(dy, dbias, accumulate, at.stream());
                   },
                   {.f32_results = 1});
    }
  }
}

}  // namespace
}  // namespace moat
