// Products of linear layers with GELU, its gradient or a bias's gradient beside them, on every
// device; whether in one pass or not.
#include "tests/gpu/conformance.h"

namespace moat {
namespace {

using testing::Place;
using testing::RandomValues;

class LinearTest : public testing::ConformanceTest {};
MOAT_ON_EVERY_DEVICE(LinearTest);

// Widths that one pass takes and that it does not.
struct LinearShape {
  int64_t rows, in, out;
};
const LinearShape kShapes[] = {{1, 1, 1}, {5, 7, 9}, {33, 24, 40}, {16, 65, 64}};

std::string NameOf(const LinearShape& s) {
  return std::to_string(s.rows) + " rows of " + std::to_string(s.in) + " to " +
         std::to_string(s.out);
}

TEST_P(LinearTest, GeluOfALayerWithAndWithoutABias) {
  for (const LinearShape& s : kShapes) {
    for (const bool with_bias : {false, true}) {
      ExpectAgrees(NameOf(s), [&](Place& at) {
        const auto bias = with_bias ? at.In(RandomValues("bias", s.out, 2)) : tensor::ConstView{};
        const auto x = at.In(RandomValues("x", s.rows * s.in));
        const auto weight = at.In(RandomValues("w", s.out * s.in, 2));
        const auto before = at.Out(s.rows * s.out), y = at.Out(s.rows * s.out);
        tensor::LinearGelu(s.rows, s.in, s.out, x, weight, bias, before, y, at.stream());
      });
    }
  }
}

TEST_P(LinearTest, GradientThroughALayerAndTheGeluBeforeIt) {
  for (const LinearShape& s : kShapes) {
    ExpectAgrees(NameOf(s), [&](Place& at) {
      tensor::LinearGeluGrad(s.rows, s.in, s.out, at.In(RandomValues("dy", s.rows * s.out)),
                             at.In(RandomValues("w", s.out * s.in)),
                             at.In(RandomValues("before", s.rows * s.in, 4)), at.Out(s.rows * s.in),
                             at.stream());
    });
  }
}

TEST_P(LinearTest, GradientsOfAWeightAndItsBiasReplaceOrAdd) {
  for (const LinearShape& s : kShapes) {
    for (const bool accumulate : {false, true}) {
      ExpectAgrees(NameOf(s),
                   [&](Place& at) {
                     const auto dy = at.In(RandomValues("dy", s.rows * s.out));
                     const auto x = at.In(RandomValues("x", s.rows * s.in));
                     const auto dweight = at.OutF32(RandomValues("dw", s.out * s.in));
                     const auto dbias = at.OutF32(RandomValues("db", s.out));
                     tensor::LinearParameterGrad(s.rows, s.in, s.out, dy, x, dweight, dbias,
                                                 accumulate, at.stream());
                   },
                   {.f32_results = 2});
    }
  }
}

}  // namespace
}  // namespace moat
