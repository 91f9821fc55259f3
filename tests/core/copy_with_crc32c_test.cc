// A copy is a copy with the CRC of its bytes, whatever its length and addresses, and touches
// nothing beside it.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/crc32c.h"

namespace moat::core {
namespace {

TEST(CopyWithCrc32c, EveryLengthAtEveryAddress) {
  constexpr size_t kRoom = 3 * 3 * 4096 + 512;  // of bytes: more than two times three long streams
  std::vector<char> from(kRoom), to(kRoom);
  for (size_t i = 0; i < kRoom; ++i) from[i] = static_cast<char>(i * 37 + i / 256 + 1);
  for (const size_t bytes : {0, 1, 15, 63, 64, 200, 12287, 12288, 12351, 12400, 25000, 36864}) {
    for (size_t source = 0; source < 64; source += 13) {
      for (const size_t target : {0u, 1u, 4u, 16u, 63u, 64u}) {
        std::fill(to.begin(), to.end(), '\x7e');
        const uint32_t crc = CopyWithCrc32c(to.data() + target, from.data() + source, bytes, 7);
        EXPECT_EQ(crc, Crc32c(from.data() + source, bytes, 7)) << bytes;
        const auto begin = to.begin() + static_cast<long>(target);
        const auto end = begin + static_cast<long>(bytes);
        EXPECT_TRUE(std::equal(begin, end, from.begin() + static_cast<long>(source))) << bytes;
        EXPECT_EQ(std::count(to.begin(), begin, '\x7e'), static_cast<long>(target));
        EXPECT_EQ(std::count(end, to.end(), '\x7e'), to.end() - end) << bytes;
      }
    }
  }
}

}  // namespace
}  // namespace moat::core
