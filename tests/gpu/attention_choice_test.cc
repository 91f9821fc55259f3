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
  std::vector<float> out, log_sum;
};

TEST_P(CudaAttentionTest, CudnnsIsOursWhereItIsChosen) {
  if (tensor::TunerOf(stream())->library().find("cuDNN") == std::string::npos) {
    GTEST_SKIP() << "no cuDNN 9.19 or later on this machine";
  }
  for (const AttentionShape& s :
       {AttentionShape{2, 1024, 12, 12, 64, 64}, AttentionShape{3, 515, 8, 2, 128, 64}}) {
    const int64_t slots = s.rows * s.seq_len, width = s.heads * s.head_width;
    const std::vector<int32_t> starts = testing::UnevenSpans(s, 29);
    Tensor spans(slots, DType::kI32, device());
    tensor::Copy(tensor::HostView(starts.data(), slots), spans.view(), stream());
    const Tensor qkv =
        Put(testing::RandomValues("qkv", slots * (s.heads + 2 * s.kv_heads) * s.head_width, 2),
            DType::kBF16);
    const auto compute = [&](tensor::Stream& on) {
      Tensor out(slots * width, DType::kBF16, device());
      Tensor log_sum(slots * s.heads, DType::kF32, device());
      tensor::Attention(s, spans.view(), qkv.view(), out.view(), log_sum.view(), {}, on);
      on.Synchronize();
      return Outcome{Get(out), Get(log_sum)};
    };
    const Outcome own = compute(stream());
    tensor::ProductChoices choices = tensor::TunerOf(stream())->choices();
    ASSERT_EQ(choices.algorithms.size(), 1u);
    EXPECT_EQ(choices.algorithms.begin()->second, "own");
    choices.algorithms.begin()->second = "cudnn";
    tensor::Stream chosen(device(), 0);
    tensor::TunerOf(chosen)->Use(choices);
    const Outcome cudnn = compute(chosen), again = compute(chosen);
    EXPECT_LT(testing::RelativeError(cudnn.out, own.out), 1e-2);
    EXPECT_LT(testing::RelativeError(cudnn.log_sum, own.log_sum), 1e-4);
    EXPECT_TRUE(testing::SameBits(cudnn.out, again.out));
    EXPECT_TRUE(testing::SameBits(cudnn.log_sum, again.log_sum));
    tensor::TunerOf(stream())->Use({choices.made_for, {}});
  }
}

}  // namespace
}  // namespace moat
