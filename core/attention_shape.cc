// Scratch memory of attention.
#include "core/attention_shape.h"

#include <algorithm>

namespace moat::core {

AttentionSlice GradSliceOf(const AttentionShape& s) {
  if (s.head_width % kLibraryHeadStep != 0) return {0, 0};
  const int64_t fit = kMostSliceBytes / GradSliceBytes(s, {1, s.kv_heads});
  if (fit > 0) return {std::min(fit, s.rows), s.kv_heads};
  const int64_t kv_heads = kMostSliceBytes / GradSliceBytes(s, {1, 1});
  return {kv_heads > 0 ? 1 : 0, kv_heads};
}

std::vector<PlacedSlice> GradSlices(const AttentionShape& s) {
  const AttentionSlice most = GradSliceOf(s);
  std::vector<PlacedSlice> slices;
  for (int64_t row = 0; row < s.rows && most.rows > 0; row += most.rows) {
    for (int64_t head = 0; head < s.kv_heads; head += most.kv_heads) {
      slices.push_back(
          {row,
           head,
           {std::min(most.rows, s.rows - row), std::min(most.kv_heads, s.kv_heads - head)}});
    }
  }
  return slices;
}

int64_t GradSliceBytes(const AttentionShape& s, const AttentionSlice& slice) {
  constexpr int64_t kTile = 128;  // scores are kept in whole tiles, of 64 x 128 at the most
  constexpr int64_t kRounding = 4096;
  const int64_t group = s.heads / s.kv_heads, heads = slice.rows * slice.kv_heads * group;
  const int64_t padded = (s.seq_len + kTile - 1) / kTile * kTile;
  const int64_t scores = heads * padded * padded * SizeOf(DType::kBF16);
  // Keys' and values' gradients of each query head, before a group's are added up.
  const int64_t of_heads = group == 1 ? 0 : 2 * heads * s.seq_len * s.head_width;
  const int64_t sums = heads * s.seq_len;
  return scores + (of_heads + sums) * SizeOf(DType::kF32) + kRounding;
}

int64_t AttentionWorkspace(const AttentionShape& s, DType dtype, DeviceKind device, int threads) {
  if (device == DeviceKind::kCpu) {
    return threads * (2 * s.seq_len * (s.tile + s.head_width) + 2 * s.tile);
  }
  const AttentionSlice slice = GradSliceOf(s);
  if (dtype != DType::kBF16 || slice.rows == 0) return 0;
  return (GradSliceBytes(s, slice) + SizeOf(DType::kF32) - 1) / SizeOf(DType::kF32);
}

}  // namespace moat::core
