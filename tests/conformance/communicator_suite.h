// What every communicator promises, as one body that runs on any backend.
//
// A body runs on every rank of a group at once. Inputs are crafted so that sums are exact, except
// where the bits of the tree are compared with a plain reference.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/reduction_tree.h"
#include "core/rng.h"

namespace moat::testing {

using comm::Communicator;
using comm::Order;
using comm::ReduceOp;
using tensor::HostView;

// Element i of rank r's input: small whole numbers, exact in every dtype.
template <typename T>
T Value(int r, int64_t i) {
  return static_cast<T>((i * 7 + int64_t{3} * r) % 11 + r);
}

template <typename T>
std::vector<T> Values(int r, int64_t count, int64_t first = 0) {
  std::vector<T> values(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = Value<T>(r, first + i);
  return values;
}

template <typename T>
T Expected(int size, int64_t i, ReduceOp op) {
  T result = Value<T>(0, i);
  for (int r = 1; r < size; ++r) {
    const T v = Value<T>(r, i);
    result = op == ReduceOp::kSum   ? result + v
             : op == ReduceOp::kMax ? std::max(result, v)
                                    : std::min(result, v);
  }
  return result;
}

// 0, 1, odd, one cache line, and several pieces of the largest piece in use.
inline std::vector<int64_t> Counts() { return {0, 1, 7, 16, 1001, 40009}; }

template <typename T>
void AllReduceIsExact(Communicator& group) {
  tensor::Stream stream;
  for (const int64_t count : Counts()) {
    for (const ReduceOp op : {ReduceOp::kSum, ReduceOp::kMax, ReduceOp::kMin}) {
      for (const Order order : {Order::kTree, Order::kAny}) {
        std::vector<T> buffer = Values<T>(group.rank(), count);
        group.AllReduce(HostView(buffer.data(), count), op, order, stream);
        int64_t wrong = 0;
        for (int64_t i = 0; i < count; ++i) {
          wrong += buffer[static_cast<size_t>(i)] != Expected<T>(group.size(), i, op);
        }
        ASSERT_EQ(wrong, 0) << group.name() << " count " << count;
      }
    }
  }
}

template <typename T>
void ReduceScatterIsExact(Communicator& group) {
  tensor::Stream stream;
  for (const int64_t count : Counts()) {
    for (const bool in_place : {false, true}) {
      std::vector<T> input = Values<T>(group.rank(), count * group.size());
      std::vector<T> apart(static_cast<size_t>(count));
      T* const output = in_place ? input.data() + count * group.rank() : apart.data();
      group.ReduceScatter(HostView(std::as_const(input).data(), count * group.size()),
                          HostView(output, count), ReduceOp::kSum, Order::kTree, stream);
      int64_t wrong = 0;
      for (int64_t i = 0; i < count; ++i) {
        wrong += output[i] != Expected<T>(group.size(), count * group.rank() + i, ReduceOp::kSum);
      }
      ASSERT_EQ(wrong, 0) << group.name() << " count " << count << " in place " << in_place;
    }
  }
}

template <typename T>
void MovesBytesExactly(Communicator& group) {
  tensor::Stream stream;
  const core::DType dtype = core::DTypeOf<T>::value;
  const auto bytes_of = [](int r, int64_t bytes) {
    std::vector<uint8_t> values(static_cast<size_t>(bytes));
    for (int64_t i = 0; i < bytes; ++i) {
      values[static_cast<size_t>(i)] = static_cast<uint8_t>(i * 31 + int64_t{77} * r);
    }
    return values;
  };
  for (const int64_t count : Counts()) {
    const int64_t bytes = count * core::SizeOf(dtype);
    for (const bool in_place : {false, true}) {
      const std::vector<uint8_t> mine = bytes_of(group.rank(), bytes);
      std::vector<uint8_t> all(static_cast<size_t>(bytes * group.size()));
      uint8_t* const own = all.data() + bytes * group.rank();
      std::copy(mine.begin(), mine.end(), own);
      group.AllGather({in_place ? own : mine.data(), count, dtype},
                      {all.data(), count * group.size(), dtype}, stream);
      for (int r = 0; r < group.size(); ++r) {
        const std::vector<uint8_t> theirs = bytes_of(r, bytes);
        ASSERT_TRUE(std::equal(theirs.begin(), theirs.end(), all.begin() + bytes * r))
            << group.name() << " all_gather of " << count << " " << core::Name(dtype);
      }
    }
    for (int root = 0; root < group.size(); ++root) {
      std::vector<uint8_t> buffer = bytes_of(group.rank(), bytes);
      group.Broadcast({buffer.data(), count, dtype}, root, stream);
      ASSERT_EQ(buffer, bytes_of(root, bytes)) << group.name() << " broadcast from " << root;
    }
  }
}

inline float RandomValue(int r, int64_t i) {
  return core::RandomNormal(static_cast<uint64_t>(r) + 1, static_cast<uint64_t>(i)) *
         (i % 3 == 0 ? 1e6f : 1.0f);
}

inline float PlainTree(int first, int n, int64_t i) {
  if (n == 1) return RandomValue(first, i);
  int left = 1;
  while (left * 2 < n) left *= 2;
  return PlainTree(first, left, i) + PlainTree(first + left, n - left, i);
}

// The bits of kTree are those of the plain recursion above, for all-reduce and reduce-scatter.
inline void TreeHasItsOwnBits(Communicator& group) {
  tensor::Stream stream;
  const int n = group.size();
  for (const int64_t block : {1, 333, 10001}) {
    std::vector<float> mine(static_cast<size_t>(block * n));
    for (int64_t i = 0; i < block * n; ++i) {
      mine[static_cast<size_t>(i)] = RandomValue(group.rank(), i);
    }
    std::vector<float> scattered(static_cast<size_t>(block));
    group.ReduceScatter(HostView(std::as_const(mine).data(), block * n),
                        HostView(scattered.data(), block), ReduceOp::kSum, Order::kTree, stream);
    group.AllReduce(HostView(mine.data(), block * n), ReduceOp::kSum, Order::kTree, stream);
    std::vector<float> plain(mine.size());
    for (int64_t i = 0; i < block * n; ++i) {
      plain[static_cast<size_t>(i)] = PlainTree(0, n, i);
    }
    ASSERT_EQ(std::memcmp(mine.data(), plain.data(), mine.size() * sizeof(float)), 0);
    ASSERT_EQ(std::memcmp(scattered.data(), plain.data() + block * group.rank(),
                          scattered.size() * sizeof(float)),
              0);
  }
}

// 2 (n-1)/n of the buffer, up to the rounding of blocks to 16 elements in each piece.
inline void ReceivesNoMoreThanItMust(Communicator& group, int64_t pieces) {
  tensor::Stream stream;
  const int64_t n = group.size(), count = 64 * n * 1000;
  std::vector<float> buffer(static_cast<size_t>(count), 1.0f);
  for (const Order order : {Order::kTree, Order::kAny}) {
    const uint64_t before = group.traffic().received_bytes;
    group.AllReduce(HostView(buffer.data(), count), ReduceOp::kSum, order, stream);
    const uint64_t moved = group.traffic().received_bytes - before;
    const int64_t bound = 4 * (2 * (n - 1) * count / n + (n > 2 ? 16 * (n - 2) * pieces : 0));
    EXPECT_LE(moved, static_cast<uint64_t>(bound));
    EXPECT_GE(moved, static_cast<uint64_t>(n == 1 ? 0 : 4 * (n - 1) * count / n));
  }
}

inline void TextAndFlags(Communicator& group) {
  const std::string mine(static_cast<size_t>(group.rank() * 5),
                         static_cast<char>('a' + group.rank()));
  const std::vector<std::string> texts = group.AllGatherText(mine);
  ASSERT_EQ(texts.size(), static_cast<size_t>(group.size()));
  for (int r = 0; r < group.size(); ++r) {
    EXPECT_EQ(texts[static_cast<size_t>(r)],
              std::string(static_cast<size_t>(r * 5), static_cast<char>('a' + r)));
  }
  for (int root = 0; root < group.size(); ++root) {
    EXPECT_EQ(group.BroadcastText(root == group.rank() ? "from the root" : "mine", root),
              "from the root");
    EXPECT_EQ(group.BroadcastText("", root), "");
    EXPECT_TRUE(group.AnyOf(group.rank() == root));
  }
  EXPECT_FALSE(group.AnyOf(false));
  group.Barrier();
}

// Odd and even ranks apart, in reverse order; then pairs that cross.
inline void GroupsOfGroups(Communicator& group) {
  std::vector<int> ranks;
  for (int r = group.size() - 1; r >= 0; --r) {
    if (r % 2 == group.rank() % 2) ranks.push_back(r);
  }
  const auto half = group.Group("half", ranks);
  ASSERT_EQ(half->size(), static_cast<int>(ranks.size()));
  ASSERT_EQ(ranks[static_cast<size_t>(half->rank())], group.rank());
  const std::vector<std::string> names = half->AllGatherText(std::to_string(group.rank()));
  for (size_t i = 0; i < ranks.size(); ++i) EXPECT_EQ(names[i], std::to_string(ranks[i]));
  const auto whole = group.Group("again", [&] {
    std::vector<int> all;
    for (int r = 0; r < group.size(); ++r) all.push_back(r);
    return all;
  }());
  EXPECT_TRUE(whole->AnyOf(group.rank() == 0));
}

inline void MisuseIsABug(Communicator& group) {
  tensor::Stream stream;
  std::vector<float> a(16), b(16);
  std::vector<uint8_t> bytes(16);
  EXPECT_THROW(group.AllReduce(HostView(bytes.data(), 16), ReduceOp::kSum, Order::kTree, stream),
               core::BugError);
  EXPECT_THROW(
      group.AllGather(HostView(std::as_const(a).data(), 3), HostView(b.data(), 16), stream),
      core::BugError);
  EXPECT_THROW(group.Broadcast(HostView(a.data(), 16), group.size(), stream), core::BugError);
  EXPECT_THROW(group.Broadcast(HostView(a.data(), 16), -1, stream), core::BugError);
  EXPECT_THROW(group.Broadcast({nullptr, 16}, 0, stream), core::BugError);
  EXPECT_THROW(group.Group("none", {}), core::BugError);
  EXPECT_THROW(group.Group("far", {group.rank(), group.size()}), core::BugError);
  // Overlapping, but not as the own block.
  std::vector<float> overlap(static_cast<size_t>(2 * group.size()) + 1);
  const float* const shifted = overlap.data() + int64_t{2} * group.rank() + 1;
  EXPECT_THROW(group.AllGather(HostView(shifted, 2),
                               HostView(overlap.data(), int64_t{2} * group.size()), stream),
               core::BugError);
  group.Barrier();  // nothing of this reached the peers
}

// All that leaves the group usable. `pieces`: into how many a large buffer is cut at most.
inline void CommunicatorConforms(Communicator& group, int64_t pieces) {
  ASSERT_NO_FATAL_FAILURE(AllReduceIsExact<float>(group));
  ASSERT_NO_FATAL_FAILURE(AllReduceIsExact<double>(group));
  ASSERT_NO_FATAL_FAILURE(AllReduceIsExact<uint64_t>(group));
  ASSERT_NO_FATAL_FAILURE(AllReduceIsExact<int64_t>(group));
  ASSERT_NO_FATAL_FAILURE(ReduceScatterIsExact<float>(group));
  ASSERT_NO_FATAL_FAILURE(ReduceScatterIsExact<double>(group));
  ASSERT_NO_FATAL_FAILURE(ReduceScatterIsExact<uint64_t>(group));
  ASSERT_NO_FATAL_FAILURE(MovesBytesExactly<float>(group));
  ASSERT_NO_FATAL_FAILURE(MovesBytesExactly<core::BFloat16>(group));
  ASSERT_NO_FATAL_FAILURE(MovesBytesExactly<double>(group));
  ASSERT_NO_FATAL_FAILURE(MovesBytesExactly<uint8_t>(group));
  ASSERT_NO_FATAL_FAILURE(MovesBytesExactly<uint16_t>(group));
  ASSERT_NO_FATAL_FAILURE(MovesBytesExactly<uint32_t>(group));
  ASSERT_NO_FATAL_FAILURE(MovesBytesExactly<int32_t>(group));
  ASSERT_NO_FATAL_FAILURE(MovesBytesExactly<uint64_t>(group));
  ASSERT_NO_FATAL_FAILURE(MovesBytesExactly<int64_t>(group));
  ASSERT_NO_FATAL_FAILURE(TreeHasItsOwnBits(group));
  ReceivesNoMoreThanItMust(group, pieces);
  ASSERT_NO_FATAL_FAILURE(TextAndFlags(group));
  ASSERT_NO_FATAL_FAILURE(GroupsOfGroups(group));
  MisuseIsABug(group);
}

// Ranks that call different things are told so, all of them. The group is of no use afterwards.
inline void MixUpIsAnError(Communicator& group) {
  tensor::Stream stream;
  std::vector<float> buffer(64);
  try {
    group.AllReduce(HostView(buffer.data(), group.rank() == 0 ? 64 : 63), ReduceOp::kSum,
                    Order::kTree, stream);
    FAIL() << "a mix-up went unnoticed";
  } catch (const core::BugError& error) {
    EXPECT_NE(std::string(error.what()).find("64 f32"), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find("63 f32"), std::string::npos) << error.what();
  }
  EXPECT_THROW(group.Barrier(), core::PeerError);
}

// The last rank never comes: the others name it. The group is of no use afterwards.
inline void MissingRankIsNamed(Communicator& group, double start_deadline = 1.0) {
  const int missing = group.size() - 1;
  group.SetDeadline(start_deadline);
  if (group.rank() == missing) return;
  tensor::Stream stream;
  std::vector<float> buffer(64);
  try {
    group.AllReduce(HostView(buffer.data(), 64), ReduceOp::kSum, Order::kTree, stream);
    FAIL() << "a missing rank went unnoticed";
  } catch (const core::PeerError& error) {
    const std::string what = error.what();
    EXPECT_NE(what.find("missing: rank " + std::to_string(missing)), std::string::npos) << what;
    EXPECT_EQ(what.find("missing: rank 0"), std::string::npos) << what;
    EXPECT_NE(what.find("'" + group.name() + "'"), std::string::npos) << what;
    EXPECT_NE(what.find("all_reduce(sum, 64 f32"), std::string::npos) << what;
  }
}

}  // namespace moat::testing
