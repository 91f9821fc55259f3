// CRC32C against published values, in pieces, and table against instruction.
#include "core/crc32c.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace moat::core {
namespace {

TEST(Crc32c, MatchesPublishedCheckValue) {  // RFC 3720, B.4, and the usual check string
  EXPECT_EQ(Crc32c("123456789", 9), 0xe3069283u);
  const std::string zeros(32, '\0');
  EXPECT_EQ(Crc32c(zeros.data(), 32), 0x8a9136aau);
  const std::string ones(32, '\xff');
  EXPECT_EQ(Crc32c(ones.data(), 32), 0x62a8ab43u);
}

TEST(Crc32c, EveryWayEqualsTheTableForEveryLengthAndAlignment) {
  std::vector<uint8_t> bytes(40000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * i * 131 >> 3);
  std::vector<size_t> sizes = {4096, 12287, 12288, 12289, 39000};
  for (size_t size = 0; size < 1100; ++size) sizes.push_back(size);
  const std::vector<Crc32cWay> ways = Crc32cWays();
  for (const Crc32cWay& way : ways) {
    for (const size_t size : sizes) {
      for (const size_t start : {0ul, 1ul, 5ul}) {
        for (const uint32_t before : {0u, 0xdeadbeefu}) {
          ASSERT_EQ(way.crc(&bytes[start], size, before),
                    ways.front().crc(&bytes[start], size, before))
              << way.name << ", " << size << " bytes";
        }
      }
    }
  }
}

TEST(Crc32c, ContinuesAcrossPieces) {
  const std::string text(30001, 'q');
  EXPECT_EQ(Crc32c(text.data() + 12345, text.size() - 12345, Crc32c(text.data(), 12345)),
            Crc32c(text.data(), text.size()));
}

TEST(Crc32c, OfTwoPartsCombine) {
  std::string text(70001, '\0');
  for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i >> 5);
  for (const size_t cut : {0ul, 1ul, 255ul, 65536ul, 70000ul, 70001ul}) {
    EXPECT_EQ(CombineCrc32c(Crc32c(text.data(), cut), Crc32c(text.data() + cut, text.size() - cut),
                            static_cast<int64_t>(text.size() - cut)),
              Crc32c(text.data(), text.size()))
        << cut;
  }
}

}  // namespace
}  // namespace moat::core
