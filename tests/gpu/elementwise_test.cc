// What is done to each element, and what is done to flat ranges, on every device.
#include "core/error.h"
#include "tests/gpu/conformance.h"

namespace moat {
namespace {

using core::DType;
using testing::Place;
using testing::RandomValues;

class ElementwiseTest : public testing::ConformanceTest {};
MOAT_ON_EVERY_DEVICE(ElementwiseTest);

TEST_P(ElementwiseTest, SwiGluAndItsGradient) {
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{3, 37}, {19, 64}, {2, 2056}}) {
    const int64_t n = rows * width;
    ExpectAgrees("SwiGLU of " + std::to_string(width), [&, width = width](Place& at) {
      const auto gate_up = at.In(RandomValues("gu", 2 * n, 4)), dy = at.In(RandomValues("dy", n));
      const auto y = at.Out(n), dgate_up = at.Out(2 * n);
      tensor::SwiGlu(gate_up, y, width, at.stream());
      tensor::SwiGluGrad(gate_up, dy, dgate_up, width, at.stream());
    });
  }
}

TEST_P(ElementwiseTest, GeluAndItsGradientAlsoFarOut) {
  for (const float scale : {6.0f, 200.0f}) {
    for (const int64_t n : {255, 4099}) {
      ExpectAgrees("GELU of " + std::to_string(n), [&](Place& at) {
        const auto x = at.In(RandomValues("x", n, scale)), dy = at.In(RandomValues("dy", n));
        const auto y = at.Out(n), dx = at.Out(n);
        tensor::Gelu(x, y, at.stream());
        tensor::GeluGrad(x, dy, dx, at.stream());
      });
    }
  }
}

TEST_P(ElementwiseTest, AddAddsInPlace) {
  for (const int64_t n : {1, 100, 4099}) {
    ExpectAgrees("Add of " + std::to_string(n), [&](Place& at) {
      tensor::Add(at.In(RandomValues("x", n)), at.Out(RandomValues("y", n)), at.stream());
    });
  }
}

TEST_P(ElementwiseTest, CastRoundsToNearestEvenAndWidensExactly) {
  std::vector<float> x = {0.0f, -0.0f, 1e-40f, INFINITY, -INFINITY, 3.4e38f};
  for (const uint32_t half : {0x3f808000u, 0x3f818000u, 0x3f808001u, 0xff7fffffu}) {
    x.push_back(std::bit_cast<float>(half));  // ties, above a tie, the largest number
  }
  const auto more = RandomValues("x", 4099, 1e3f);
  x.insert(x.end(), more.begin(), more.end());
  const tensor::Tensor from = Put(x, DType::kF32);
  tensor::Tensor rounded(from.count(), DType::kBF16, device()),
      wide(from.count(), DType::kF32, device());
  tensor::Cast(from.view(), rounded.view(), stream());
  tensor::Cast(std::as_const(rounded).view(), wide.view(), stream());
  EXPECT_TRUE(testing::SameBits(Get(rounded), testing::As(DType::kBF16, x)));
  EXPECT_TRUE(testing::SameBits(Get(wide), testing::As(DType::kBF16, x)));
}

// The CPU's bits: factors of 0 and 2 are exact in every type. Sequences more than one launch takes.
TEST_P(ElementwiseTest, DropoutHasTheMaskOfTheCpu) {
  struct Case {
    int64_t sequences, seq_len, width, first_row;
  };
  for (const Case& c :
       {Case{3, 6, 19, 4}, Case{2, 5, 64, 0}, Case{150, 2, 8, 3}, Case{1, 2, 4104, 1}}) {
    std::vector<uint64_t> samples;
    for (int64_t i = 0; i < c.sequences; ++i) {
      samples.push_back(core::RandomBits(7, static_cast<uint64_t>(i)));
    }
    const tensor::DropoutKey key = {core::RandomBits(1, 2), samples.data(), c.seq_len, 0.5f,
                                    c.first_row};
    const int64_t n = (c.sequences * c.seq_len - c.first_row) * c.width;
    ExpectAgrees("Dropout of width " + std::to_string(c.width), [&](Place& at) {
      const auto x = at.In(RandomValues("x", n)), branch = at.In(RandomValues("b", n));
      tensor::AddDropout(x, branch, at.Out(n), c.width, key, at.stream());
      const auto in_place = at.Out(RandomValues("x", n));
      tensor::AddDropout(in_place, branch, in_place, c.width, key, at.stream());
      tensor::Dropout(at.Out(std::vector<float>(static_cast<size_t>(n), 1.0f)), c.width, key,
                      at.stream());
    });
    std::vector<float> want(static_cast<size_t>(n), 1.0f);
    tensor::Stream cpu;
    tensor::Dropout(tensor::HostView(want.data(), n), c.width, key, cpu);
    for (const DType dtype : dtypes()) {
      tensor::Tensor ones = Put(std::vector<float>(want.size(), 1.0f), dtype);
      tensor::Dropout(ones.view(), c.width, key, stream());
      EXPECT_TRUE(testing::SameBits(Get(ones), want)) << c.width;
    }
  }
}

TEST_P(ElementwiseTest, ADropoutOfNothingIsAnAddition) {
  const std::vector<uint64_t> samples = {3, 4};
  ExpectAgrees("AddDropout", [&](Place& at) {
    const auto x = at.In(RandomValues("x", 8 * 13)), branch = at.In(RandomValues("b", 8 * 13));
    tensor::AddDropout(x, branch, at.Out(8 * 13), 13, {1, samples.data(), 4, 0.0f}, at.stream());
  });
}

TEST_P(ElementwiseTest, AdamWMovesWeightsAndRoundsItsCopy) {
  const tensor::AdamWStep step{.learning_rate = 1e-2f,
                               .beta1 = 0.9f,
                               .beta2 = 0.95f,
                               .epsilon = 1e-8f,
                               .weight_decay = 0.1f,
                               .correction1 = 0.19f,
                               .correction2 = 0.0975f,
                               .gradient_scale = 0.5f};
  for (const int64_t n : {1, 255, 4099}) {
    auto squares = RandomValues("v", n);
    for (float& value : squares) value *= value;
    ExpectAgrees("AdamW of " + std::to_string(n),
                 [&](Place& at) {
                   const auto gradient = at.InF32(RandomValues("g", n));
                   const auto m = at.OutF32(RandomValues("m", n)), v = at.OutF32(squares),
                              w = at.OutF32(RandomValues("w", n));
                   tensor::AdamW(step, gradient, m, v, w, {}, at.stream());
                 },
                 {.f32 = 1e-6, .f32_results = 3});
    const tensor::Tensor gradient = Put(RandomValues("g", n), DType::kF32);
    tensor::Tensor m = Put(RandomValues("m", n), DType::kF32), v = Put(squares, DType::kF32);
    tensor::Tensor w = Put(RandomValues("w", n), DType::kF32), rounded(n, DType::kBF16, device());
    tensor::AdamW(step, gradient.view(), m.view(), v.view(), w.view(), rounded.view(), stream());
    EXPECT_TRUE(testing::SameBits(Get(rounded), testing::As(DType::kBF16, Get(w))));
  }
}

// What SumsOfSquares says of x[begin, end), a stretch of blocks of `block`.
std::vector<double> Sums(const tensor::Tensor& x, int64_t begin, int64_t end, int64_t block,
                         tensor::Stream& stream) {
  const int64_t phase = begin % block;
  const int64_t blocks = (phase + end - begin + block - 1) / block;
  tensor::Tensor there(blocks, DType::kF64, x.device());
  tensor::SumsOfSquares(x.view().Range(begin, end - begin), block, phase, there.view(), stream);
  std::vector<double> sums(static_cast<size_t>(blocks));
  tensor::Copy(there.view(), tensor::HostView(sums.data(), blocks), stream);
  stream.Synchronize();
  return sums;
}

TEST_P(ElementwiseTest, SumsOfSquaresAreExactForIntegersAndABlocksBitsAreItsOwn) {
  std::vector<float> integers(10007);
  double want = 0;
  for (size_t i = 0; i < integers.size(); ++i) {
    integers[i] = static_cast<float>(i % 13) - 6;
    want += static_cast<double>(integers[i] * integers[i]);
  }
  double sum = 0;
  for (const double part : Sums(Put(integers, DType::kF32), 0, 10007, 1024, stream())) sum += part;
  EXPECT_EQ(sum, want);

  const tensor::Tensor x = Put(RandomValues("r", 7001), DType::kF32);
  const std::vector<double> whole = Sums(x, 100, 7001, 1000, stream());
  ASSERT_EQ(whole.size(), 8u);
  std::vector<double> pieces = Sums(x, 100, 3000, 1000, stream());
  for (const double part : Sums(x, 3000, 7001, 1000, stream())) pieces.push_back(part);
  EXPECT_EQ(whole, pieces);
  EXPECT_NE(Sums(x, 0, 1000, 1000, stream())[0], whole[0]);  // its elements count
}

}  // namespace
}  // namespace moat
