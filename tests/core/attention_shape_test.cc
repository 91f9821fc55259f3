// Scratch memory of attention: what is taken at once on a GPU, and what a CPU's threads want.
#include "core/attention_shape.h"

#include <gtest/gtest.h>

namespace moat::core {
namespace {

TEST(AttentionShape, SequencesAreTakenTogetherWhileTheirScoresFit) {
  const AttentionSlice gpt2 = GradSliceOf({16, 1024, 12, 12, 64, 64});
  EXPECT_EQ(gpt2.rows, 16);
  EXPECT_EQ(gpt2.kv_heads, 12);
  const AttentionSlice more = GradSliceOf({64, 1024, 12, 12, 64, 64});
  EXPECT_EQ(more.rows, 21);  // 24 MiB of scores each, and sums
  EXPECT_EQ(more.kv_heads, 12);
}

TEST(AttentionShape, OfALongSequenceHeadsAreTakenWithTheirGroups) {
  const AttentionShape llama{2, 4096, 32, 8, 64, 64};
  const AttentionSlice slice = GradSliceOf(llama);
  EXPECT_EQ(slice.rows, 1);
  EXPECT_EQ(slice.kv_heads, 3);  // 4 x 32 MiB of scores each
  EXPECT_LE(GradSliceBytes(llama, slice), kMostSliceBytes);
}

TEST(AttentionShape, SlicesHoldEveryHeadOfEveryRowOnce) {
  for (const AttentionShape& s :
       {AttentionShape{64, 1024, 12, 12, 64, 64}, AttentionShape{2, 4096, 32, 8, 64, 64},
        AttentionShape{3, 37, 2, 1, 72, 64}}) {
    const AttentionSlice most = GradSliceOf(s);
    std::vector<int> seen(static_cast<size_t>(s.rows * s.kv_heads));
    for (const PlacedSlice& at : GradSlices(s)) {
      EXPECT_LE(GradSliceBytes(s, at.slice), GradSliceBytes(s, most));
      for (int64_t row = at.row; row < at.row + at.slice.rows; ++row) {
        for (int64_t head = at.kv_head; head < at.kv_head + at.slice.kv_heads; ++head) {
          ++seen[static_cast<size_t>(row * s.kv_heads + head)];
        }
      }
    }
    EXPECT_EQ(seen, std::vector<int>(seen.size(), 1));
  }
}

TEST(AttentionShape, WhatTheLibraryWouldNotTakeHasNoSlice) {
  EXPECT_TRUE(GradSlices({1, 65536, 32, 8, 64, 64}).empty());
  EXPECT_EQ(GradSliceOf({1, 65536, 32, 8, 64, 64}).rows, 0);  // one head's scores are too many
  EXPECT_EQ(GradSliceOf({2, 1024, 12, 12, 60, 64}).rows, 0);  // heads are not 16 bytes apart
}

TEST(AttentionShape, WorkspaceNeverGrowsWithFewerRowsAndStaysBelowTheBound) {
  int64_t before = 0;
  for (const int64_t rows : {1, 2, 5, 21, 22, 400}) {
    const int64_t now =
        AttentionWorkspace({rows, 1000, 12, 4, 72, 64}, DType::kBF16, DeviceKind::kCuda, 1);
    EXPECT_GE(now, before);
    EXPECT_LE(now * SizeOf(DType::kF32), kMostSliceBytes);
    before = now;
  }
  EXPECT_GT(before, 0);
}

TEST(AttentionShape, InF32AGpuWantsNone) {
  EXPECT_EQ(AttentionWorkspace({2, 64, 2, 2, 64, 64}, DType::kF32, DeviceKind::kCuda, 1), 0);
}

TEST(AttentionShape, OnACpuItIsOfTheOrderOfOneTileOfScores) {
  const int64_t seq_len = 4096;
  for (const int threads : {1, 8}) {  // far below seq_len^2 = 16.8M for one head
    EXPECT_LE(
        AttentionWorkspace({16, seq_len, 12, 12, 64, 64}, DType::kF32, DeviceKind::kCpu, threads),
        threads * 4 * 64 * (seq_len + 1));
  }
}

}  // namespace
}  // namespace moat::core
