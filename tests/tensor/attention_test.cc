// Attention against a plain reference and finite differences.
#include <gtest/gtest.h>

#include "tensor/ops.h"
#include "tests/tensor/stored_values.h"

namespace moat::tensor {
namespace {

struct Problem {
  AttentionShape shape;
  std::vector<int32_t> span_start;
  std::vector<float> qkv;
  int64_t tokens() const { return shape.rows * shape.seq_len; }
  int64_t out_count() const { return tokens() * shape.heads * shape.head_width; }
};

// Spans of uneven lengths, some of one slot.
Problem MakeProblem(int64_t rows, int64_t seq_len, int64_t heads, int64_t kv_heads,
                    int64_t head_width, int64_t tile) {
  Problem p{{rows, seq_len, heads, kv_heads, head_width, tile}, {}, {}};
  for (int64_t row = 0; row < rows; ++row) {
    int32_t start = 0;
    for (int32_t t = 0; t < seq_len; ++t) {
      if (row % 2 == 1 && t - start > (t % 5) * 3) start = t;
      p.span_start.push_back(start);
    }
  }
  p.qkv = testing::RandomValues("qkv", rows * seq_len * (heads + 2 * kv_heads) * head_width);
  return p;
}

std::vector<double> Reference(const Problem& p, const std::vector<double>& qkv) {
  const auto& s = p.shape;
  const int64_t stride = (s.heads + 2 * s.kv_heads) * s.head_width;
  std::vector<double> out(static_cast<size_t>(p.out_count()));
  for (int64_t r = 0; r < s.rows; ++r) {
    for (int64_t h = 0; h < s.heads; ++h) {
      const int64_t kv = h / (s.heads / s.kv_heads);
      const auto at = [&](int64_t t, int64_t head, int64_t i) {
        return qkv[static_cast<size_t>((r * s.seq_len + t) * stride + head * s.head_width + i)];
      };
      for (int64_t t = 0; t < s.seq_len; ++t) {
        std::vector<double> p_row;
        double sum = 0;
        const int64_t first = p.span_start[static_cast<size_t>(r * s.seq_len + t)];
        for (int64_t u = first; u <= t; ++u) {
          double dot = 0;
          for (int64_t i = 0; i < s.head_width; ++i) dot += at(t, h, i) * at(u, s.heads + kv, i);
          p_row.push_back(std::exp(dot / std::sqrt(static_cast<double>(s.head_width))));
          sum += p_row.back();
        }
        for (int64_t i = 0; i < s.head_width; ++i) {
          double value = 0;
          for (int64_t u = first; u <= t; ++u) {
            value +=
                p_row[static_cast<size_t>(u - first)] / sum * at(u, s.heads + s.kv_heads + kv, i);
          }
          out[static_cast<size_t>(((r * s.seq_len + t) * s.heads + h) * s.head_width + i)] = value;
        }
      }
    }
  }
  return out;
}

// The gradient by the chain rule, in f64.
std::vector<double> ReferenceGradient(const Problem& p, const std::vector<double>& dout) {
  const auto& s = p.shape;
  const int64_t stride = (s.heads + 2 * s.kv_heads) * s.head_width, width = s.head_width;
  const double scale = 1 / std::sqrt(static_cast<double>(width));
  std::vector<double> dqkv(p.qkv.size());
  for (int64_t task = 0; task < s.rows * s.heads * s.seq_len; ++task) {
    const int64_t t = task % s.seq_len, h = task / s.seq_len % s.heads;
    const int64_t row = task / s.seq_len / s.heads * s.seq_len;
    const int64_t kv = h / (s.heads / s.kv_heads), key = s.heads + kv, value = key + s.kv_heads;
    const auto place = [&](int64_t slot, int64_t head, int64_t i) {
      return static_cast<size_t>((row + slot) * stride + head * width + i);
    };
    const auto dot = [&](int64_t u, int64_t head, const auto& with) {
      double sum = 0;
      for (int64_t i = 0; i < width; ++i) {
        sum += static_cast<double>(p.qkv[place(u, head, i)]) * with(i);
      }
      return sum;
    };
    const auto query = [&](int64_t i) { return static_cast<double>(p.qkv[place(t, h, i)]); };
    const auto grad = [&](int64_t i) {
      return dout[static_cast<size_t>(((row + t) * s.heads + h) * width + i)];
    };
    const int64_t first = p.span_start[static_cast<size_t>(row + t)];
    std::vector<double> weight, dweight;
    double sum = 0, mean = 0;
    for (int64_t u = first; u <= t; ++u) {
      weight.push_back(std::exp(dot(u, key, query) * scale));
      dweight.push_back(dot(u, value, grad));
      sum += weight.back();
    }
    for (size_t j = 0; j < weight.size(); ++j) mean += (weight[j] /= sum) * dweight[j];
    for (int64_t u = first; u <= t; ++u) {
      const auto j = static_cast<size_t>(u - first);
      const double dscore = weight[j] * (dweight[j] - mean) * scale;
      for (int64_t i = 0; i < width; ++i) {
        dqkv[place(t, h, i)] += dscore * static_cast<double>(p.qkv[place(u, key, i)]);
        dqkv[place(u, key, i)] += dscore * query(i);
        dqkv[place(u, value, i)] += weight[j] * grad(i);
      }
    }
  }
  return dqkv;
}

// out and, with `dout`, dqkv behind it.
std::vector<float> RunAttention(const Problem& p, core::DType dtype, const std::vector<float>* dout,
                                int threads) {
  Stream stream(threads);
  const auto& s = p.shape;
  const Stored qkv(dtype, p.qkv);
  Stored out(dtype, p.out_count()), log_sum(core::DType::kF32, p.tokens() * s.heads);
  Stored workspace(core::DType::kF32,
                   core::AttentionWorkspace(s, dtype, core::DeviceKind::kCpu, threads));
  const ConstView spans = HostView(p.span_start.data(), p.tokens());
  Attention(s, spans, qkv.view(), out.view(), log_sum.view(), workspace.view(), stream);
  std::vector<float> both = out.floats();
  if (dout) {
    const Stored gradient(dtype, *dout);
    Stored dqkv(dtype, qkv.count());
    AttentionGrad(s, spans, qkv.view(), out.view(), log_sum.view(), gradient.view(), dqkv.view(),
                  workspace.view(), stream);
    const std::vector<float> values = dqkv.floats();
    both.insert(both.end(), values.begin(), values.end());
  }
  return both;
}

using AttentionTest = DTypeTest;

TEST_P(AttentionTest, EqualsReferenceForOddSizesAndGroups) {
  for (Problem p : {MakeProblem(2, 1, 1, 1, 4, 64), MakeProblem(2, 67, 4, 2, 6, 64),
                    MakeProblem(3, 130, 3, 1, 10, 64), MakeProblem(2, 29, 2, 2, 16, 8),
                    MakeProblem(2, 200, 2, 2, 64, 64), MakeProblem(2, 129, 4, 2, 32, 64)}) {
    p.qkv = Stored(dtype, p.qkv).floats();
    const auto got = testing::SameForAnyThreads(
        [&](int threads) { return RunAttention(p, dtype, nullptr, threads); });
    EXPECT_LT(testing::RelativeError(got, Reference(p, {p.qkv.begin(), p.qkv.end()})),
              Bound(2e-6, 4e-3));
  }
}

TEST_P(AttentionTest, GradientEqualsFiniteDifferences) {
  for (Problem p : {MakeProblem(2, 9, 2, 1, 4, 4), MakeProblem(2, 13, 4, 2, 6, 64)}) {
    p.qkv = Stored(dtype, p.qkv).floats();
    const auto dout = RandomStored(dtype, "dout", p.out_count()).floats();
    auto both = testing::SameForAnyThreads(
        [&](int threads) { return RunAttention(p, dtype, &dout, threads); });
    both.erase(both.begin(), both.begin() + p.out_count());
    std::vector<double> qkv(p.qkv.begin(), p.qkv.end()), want;
    const auto loss = [&] {
      const auto out = Reference(p, qkv);
      double sum = 0;
      for (size_t i = 0; i < out.size(); ++i) sum += out[i] * static_cast<double>(dout[i]);
      return sum;
    };
    for (double& value : qkv) {
      const double keep = value, step = 1e-5;
      value = keep + step;
      const double up = loss();
      value = keep - step;
      want.push_back((up - loss()) / (2 * step));
      value = keep;
    }
    EXPECT_LT(testing::RelativeError(both, want), Bound(1e-5, 6e-3));
  }
}

TEST_P(AttentionTest, GradientEqualsTheChainRuleOverManyTiles) {
  for (Problem p : {MakeProblem(2, 200, 4, 2, 32, 64), MakeProblem(1, 130, 2, 2, 64, 64)}) {
    p.qkv = Stored(dtype, p.qkv).floats();
    const Stored dout = RandomStored(dtype, "dout", p.out_count());
    const std::vector<float> dout_values = dout.floats();
    auto both = testing::SameForAnyThreads(
        [&](int threads) { return RunAttention(p, dtype, &dout_values, threads); });
    both.erase(both.begin(), both.begin() + p.out_count());
    EXPECT_LT(testing::RelativeError(both, ReferenceGradient(p, dout.doubles())),
              Bound(2e-6, 6e-3));
  }
}

TEST_P(AttentionTest, SlotsOfAnotherSpanDoNotMatter) {
  Problem p = MakeProblem(2, 40, 2, 1, 8, 16);
  const auto before = RunAttention(p, dtype, nullptr, 1);
  const int64_t stride = 4 * 8;
  const int32_t last_start = p.span_start.back();
  for (int64_t i = 0; i < last_start * stride; ++i)
    p.qkv[static_cast<size_t>(40 * stride + i)] += 1;  // row 1, slots before
  const auto after = RunAttention(p, dtype, nullptr, 1);
  for (size_t i = before.size() - 8; i < before.size(); ++i) EXPECT_EQ(before[i], after[i]);
}

TEST_P(AttentionTest, CachedEqualsTheLastSlotOfTheWhole) {
  const Problem p = MakeProblem(1, 23, 4, 2, 8, 64);
  const auto whole = RunAttention(p, dtype, nullptr, 1);
  const int64_t stride = 8 * 8, kv = 2 * 8, length = 23;
  std::vector<float> q(p.qkv.end() - stride, p.qkv.end() - 2 * kv), keys, values;
  for (int64_t t = 0; t < length; ++t) {
    const float* row = p.qkv.data() + t * stride;
    keys.insert(keys.end(), row + 32, row + 32 + kv);
    values.insert(values.end(), row + 32 + kv, row + 32 + 2 * kv);
  }
  Stream stream(2);
  Stored out(dtype, 32);
  AttentionCached(Stored(dtype, q).view(), Stored(dtype, keys).view(), Stored(dtype, values).view(),
                  out.view(), 4, 2, 8, stream);
  EXPECT_LT(testing::RelativeError(out.floats(), std::vector<float>(whole.end() - 32, whole.end())),
            Bound(1e-6, 4e-3));
}

MOAT_EVERY_DTYPE(AttentionTest);

}  // namespace
}  // namespace moat::tensor
