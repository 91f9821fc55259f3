// A copy is a copy, whatever its length and addresses, and touches nothing beside it.
#include "core/streaming_copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace moat::core {
namespace {

TEST(StreamingCopy, EveryLengthAtEveryAddress) {
  constexpr size_t kRoom = 512;
  alignas(64) char from[kRoom], to[kRoom];
  for (size_t i = 0; i < kRoom; ++i) from[i] = static_cast<char>(i * 37 + 1);
  for (const size_t bytes : {0u, 1u, 15u, 63u, 64u, 65u, 127u, 128u, 200u, 321u}) {
    for (size_t source = 0; source < 64; source += 3) {
      for (const size_t target : {0u, 1u, 4u, 16u, 63u, 64u}) {
        std::fill(to, to + kRoom, '\x7e');
        StreamingCopy(to + target, from + source, bytes);
        EXPECT_TRUE(std::equal(to + target, to + target + bytes, from + source)) << bytes;
        EXPECT_EQ(std::count(to, to + target, '\x7e'), static_cast<int64_t>(target));
        EXPECT_TRUE(std::all_of(to + target + bytes, to + kRoom, [](char c) {
          return c == '\x7e';
        })) << bytes;
      }
    }
  }
}

}  // namespace
}  // namespace moat::core
