// Attention by cuDNN, where it is chosen, against our own kernel: spans, groups of heads, lengths
// that no tile divides.
#include "tensor/product_tuner.h"
#include "tests/gpu/on_device.h"
#include "tests/gpu/spans.h"
#include "tests/support/values.h"

namespace moat {
namespace {

using core::DType;
using tensor::AttentionShape;
using tensor::Tensor;

class CudaAttentionTest : public testing::OnDevice {};
MOAT_ON_CUDA(CudaAttentionTest);

struct Outcome {
  std::vector<float> out, log_sum, dqkv;
};

// Both passes over `spans` of uneven lengths.
class Problem {
 public:
  Problem(const AttentionShape& shape, core::DeviceKind device, tensor::Stream& stream)
      : shape_(shape),
        qkv_(testing::Put(
            testing::RandomValues(
                "qkv", slots() * (shape.heads + 2 * shape.kv_heads) * shape.head_width, 2),
            DType::kBF16, device, stream)),
        dout_(testing::Put(testing::RandomValues("dout", slots() * width()), DType::kBF16, device,
                           stream)),
        spans_(slots(), DType::kI32, device) {
    const std::vector<int32_t> starts = testing::UnevenSpans(shape, 29);
    tensor::Copy(tensor::HostView(starts.data(), slots()), spans_.view(), stream);
    stream.Synchronize();
  }

  Outcome Compute(tensor::Stream& on) const {
    const core::DeviceKind device = on.device();
    Tensor out(slots() * width(), DType::kBF16, device), dqkv(qkv_.count(), DType::kBF16, device);
    Tensor log_sum(slots() * shape_.heads, DType::kF32, device);
    Tensor work(core::AttentionWorkspace(shape_, DType::kBF16, device, 1), DType::kF32, device);
    tensor::Attention(shape_, spans_.view(), qkv_.view(), out.view(), log_sum.view(), work.view(),
                      on);
    tensor::AttentionGrad(shape_, spans_.view(), qkv_.view(), out.view(), log_sum.view(),
                          dout_.view(), dqkv.view(), work.view(), on);
    on.Synchronize();
    return {testing::Get(out, on), testing::Get(log_sum, on), testing::Get(dqkv, on)};
  }

 private:
  int64_t slots() const { return shape_.rows * shape_.seq_len; }
  int64_t width() const { return shape_.heads * shape_.head_width; }

  AttentionShape shape_;
  Tensor qkv_, dout_, spans_;
};

// Groups of heads; lengths that no tile divides; more sequences, and more heads, than are taken at
// once (core/attention_shape.h).
const AttentionShape kShapes[] = {{2, 1024, 12, 12, 64, 64},  {3, 515, 8, 2, 128, 64},
                                  {2, 37, 2, 1, 72, 64},      {2, 300, 2, 1, 256, 64},
                                  {24, 1023, 12, 12, 64, 64}, {1, 4096, 32, 8, 64, 64}};

TEST_P(CudaAttentionTest, CudnnsIsOursWhereItIsChosen) {
  if (tensor::TunerOf(stream())->library().find("cuDNN") == std::string::npos) {
    GTEST_SKIP() << "no cuDNN 9.19 or later on this machine";
  }
  for (const AttentionShape& s : kShapes) {
    SCOPED_TRACE(std::to_string(s.seq_len) + " slots, heads of " + std::to_string(s.head_width));
    const Problem problem(s, device(), stream());
    const Outcome own = problem.Compute(stream());
    tensor::ProductChoices choices = tensor::TunerOf(stream())->choices();
    ASSERT_EQ(choices.algorithms.size(), 2u);  // one for each pass
    for (auto& [pass, whose] : choices.algorithms) {
      EXPECT_EQ(whose, "own") << pass;
      whose = "cudnn";
    }
    tensor::Stream chosen(device(), 0);
    tensor::TunerOf(chosen)->Use(choices);
    const Outcome cudnn = problem.Compute(chosen);
    EXPECT_LT(testing::RelativeError(cudnn.out, own.out), 1e-2);
    EXPECT_LT(testing::RelativeError(cudnn.log_sum, own.log_sum), 1e-4);
    EXPECT_LT(testing::RelativeError(cudnn.dqkv, own.dqkv), 2e-2);
    for (int i = 0; i < 3; ++i) {
      const Outcome again = problem.Compute(chosen);
      EXPECT_TRUE(testing::SameBits(cudnn.out, again.out));
      EXPECT_TRUE(testing::SameBits(cudnn.log_sum, again.log_sum));
      EXPECT_TRUE(testing::SameBits(cudnn.dqkv, again.dqkv));
    }
    tensor::TunerOf(stream())->Use({choices.made_for, {}});
  }
}

// With and without cuDNN: whichever is measured to be faster computes the same.
TEST_P(CudaAttentionTest, WhatIsMeasuredToBeFasterIsOursToo) {
  const AttentionShape shape{2, 300, 4, 2, 64, 64};
  const Problem problem(shape, device(), stream());
  const Outcome own = problem.Compute(stream());
  tensor::Stream measured(device(), 0);
  tensor::TunerOf(measured)->Measure(true);
  problem.Compute(measured);
  tensor::TunerOf(measured)->Measure(false);
  const tensor::ProductChoices choices = tensor::TunerOf(measured)->choices();
  EXPECT_EQ(choices.algorithms.size(), 2u);
  for (const auto& [pass, whose] : choices.algorithms) {
    EXPECT_TRUE(whose == "own" || whose == "cudnn") << pass << ": " << whose;
  }
  const Outcome chosen = problem.Compute(measured);
  EXPECT_LT(testing::RelativeError(chosen.out, own.out), 1e-2);
  EXPECT_LT(testing::RelativeError(chosen.dqkv, own.dqkv), 2e-2);
}

}  // namespace
}  // namespace moat
