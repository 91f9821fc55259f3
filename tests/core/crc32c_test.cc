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

TEST(Crc32c, HardwareEqualsPortableForEveryLengthAndAlignment) {
  std::vector<uint8_t> bytes(40000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 131 >> 3);
  for (const size_t size : {0ul, 1ul, 7ul, 8ul, 9ul, 4096ul, 12287ul, 12288ul, 12289ul, 39000ul}) {
    for (size_t start : {0ul, 1ul, 5ul}) {
      EXPECT_EQ(Crc32c(&bytes[start], size), Crc32cPortable(&bytes[start], size)) << size;
    }
  }
}

TEST(Crc32c, ContinuesAcrossPieces) {
  const std::string text(30001, 'q');
  EXPECT_EQ(Crc32c(text.data() + 12345, text.size() - 12345, Crc32c(text.data(), 12345)),
            Crc32c(text.data(), text.size()));
}

}  // namespace
}  // namespace moat::core
