// Slices: local parts, intersections, flat ranges as boxes.
#include "parallel/slice.h"

#include <gtest/gtest.h>

#include <numeric>

#include "core/error.h"

namespace moat::parallel {
namespace {

TEST(Slice, TextRoundTripsAndGarbageIsRefused) {
  const Slice slice{{0, 64}, {128, 96}};
  EXPECT_EQ(slice.text(), "0:128,64:96");
  EXPECT_EQ(Slice::Parse(slice.text()), slice);
  EXPECT_THROW(Slice::Parse("0:128,6x"), core::DataError);
  EXPECT_THROW(Slice::Parse("9:3"), core::DataError);
}

TEST(Slice, LocalSlicesTileTheTensor) {
  const SplitSpec spec = SplitSpec::Split({6, 8}, 1);
  int64_t covered = 0;
  for (int i = 0; i < 4; ++i) covered += LocalSlice(spec, i, 4).elements();
  EXPECT_EQ(covered, 48);
  EXPECT_EQ(LocalSlice(spec, 1, 4).text(), "0:6,2:4");
  EXPECT_EQ(LocalSlice(SplitSpec::Replicated({6, 8}), 1, 4).elements(), 48);
  EXPECT_THROW(LocalSlice(spec, 0, 3), core::ConfigError);
}

TEST(Slice, UnevenPartsTileTheTensorAndDifferByOneRow) {
  const SplitSpec spec = SplitSpec::Split({11, 3}, 0, SplitSpec::Fit::kUneven);
  for (const int parts : {1, 2, 3, 4, 11, 13}) {
    int64_t next = 0;
    for (int i = 0; i < parts; ++i) {
      const Slice slice = LocalSlice(spec, i, parts);
      EXPECT_EQ(slice.begin[0], next);
      const int64_t rows = slice.end[0] - slice.begin[0];
      EXPECT_TRUE(rows == 11 / parts || rows == 11 / parts + 1) << parts;
      next = slice.end[0];
      EXPECT_EQ(Copies(spec, parts), 1);
    }
    EXPECT_EQ(next, 11);
  }
}

TEST(Slice, PiecesStayWhole) {
  const SplitSpec heads = SplitSpec::SplitPieces({12, 8}, 0, 3);
  EXPECT_EQ(LocalSlice(heads, 1, 3).text(), "4:8,0:8");
  EXPECT_THROW(LocalSlice(heads, 0, 2), core::ConfigError);  // 12 / 2 is whole, 3 / 2 heads are not
}

TEST(Slice, MorePartsThanSharedPiecesHoldTheSamePieceSideBySide) {
  const SplitSpec keys = SplitSpec::SplitPieces({8, 4}, 0, 2, SplitSpec::Fit::kShared);
  EXPECT_EQ(Copies(keys, 1), 1);
  EXPECT_EQ(Copies(keys, 2), 1);
  EXPECT_EQ(Copies(keys, 4), 2);
  EXPECT_EQ(LocalSlice(keys, 0, 1).text(), "0:8,0:4");
  EXPECT_EQ(LocalSlice(keys, 0, 4).text(), "0:4,0:4");
  EXPECT_EQ(LocalSlice(keys, 1, 4).text(), "0:4,0:4");
  EXPECT_EQ(LocalSlice(keys, 2, 4).text(), "4:8,0:4");
  EXPECT_THROW(LocalSlice(keys, 0, 3), core::ConfigError);
  EXPECT_EQ(Copies(SplitSpec::Replicated({8, 4}), 3), 3);
}

TEST(Slice, CopyMovesExactlyTheCommonBox) {
  const core::Shape shape{5, 7};
  std::vector<int> global(35);
  std::iota(global.begin(), global.end(), 0);
  const Slice mine{{1, 2}, {4, 6}};
  const Slice want{{2, 0}, {5, 5}};
  std::vector<int> target(15, -1);
  const Slice common = Intersect(mine, want);
  EXPECT_EQ(common.text(), "2:4,2:5");
  std::vector<int> source(12);
  CopySlice(mine, Slice::Whole(shape), global.data(), mine, source.data(), sizeof(int));
  CopySlice(common, mine, source.data(), want, target.data(), sizeof(int));
  for (int64_t r = 2; r < 5; ++r) {
    for (int64_t c = 0; c < 5; ++c) {
      const bool inside = r < 4 && c >= 2;
      EXPECT_EQ(target[static_cast<size_t>((r - 2) * 5 + c)], inside ? r * 7 + c : -1);
    }
  }
}

TEST(Slice, WhatIsNotOneRunOfAnotherHasNoOffsetThere) {
  const Slice whole{{2, 0, 0}, {6, 4, 5}};
  EXPECT_EQ(RunOffset({{3, 1, 0}, {4, 3, 5}}, whole), 25);  // rows of one plane
  EXPECT_EQ(RunOffset({{3, 1, 2}, {4, 2, 4}}, whole), 27);  // a part of one row
  EXPECT_EQ(RunOffset({{2, 0, 0}, {6, 4, 5}}, whole), 0);
  EXPECT_EQ(RunOffset({{3, 1, 0}, {4, 3, 4}}, whole), std::nullopt);  // parts of two rows
  EXPECT_EQ(RunOffset({{3, 1, 0}, {5, 3, 5}}, whole), std::nullopt);  // rows of two planes
  EXPECT_EQ(RunOffset({{1, 0, 0}, {3, 4, 5}}, whole), std::nullopt);  // partly outside
  EXPECT_EQ(RunOffset({{6, 0, 0}, {7, 4, 5}}, whole), std::nullopt);
}

TEST(Slice, FlatRangesTileInMemoryOrderWithFewBoxes) {
  for (const core::Shape& shape :
       {core::Shape{3, 5, 7}, core::Shape{17}, core::Shape{4, 9}, core::Shape{2, 1, 3, 2}}) {
    const int64_t n = shape.elements();
    for (int64_t begin = 0; begin <= n; ++begin) {
      for (int64_t end = begin; end <= n; ++end) {
        const auto boxes = FlatRangeAsSlices(shape, begin, end);
        EXPECT_LE(static_cast<int>(boxes.size()), 2 * shape.rank() - 1);
        std::vector<int64_t> flat(static_cast<size_t>(n));
        std::iota(flat.begin(), flat.end(), 0);
        std::vector<int64_t> seen;
        for (const Slice& box : boxes) {
          std::vector<int64_t> part(static_cast<size_t>(box.elements()));
          EXPECT_EQ(RunOffset(box, Slice::Whole(shape)), begin + static_cast<int64_t>(seen.size()));
          CopySlice(box, Slice::Whole(shape), flat.data(), box, part.data(), sizeof(int64_t));
          seen.insert(seen.end(), part.begin(), part.end());
        }
        ASSERT_EQ(static_cast<int64_t>(seen.size()), end - begin);
        for (int64_t i = 0; i < end - begin; ++i)
          ASSERT_EQ(seen[static_cast<size_t>(i)], begin + i);
      }
    }
  }
}

}  // namespace
}  // namespace moat::parallel
