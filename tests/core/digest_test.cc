// SHA-256 and keyed hashes against published values.
#include "core/digest.h"

#include <gtest/gtest.h>

namespace moat::core {
namespace {

TEST(Digest, Sha256MatchesFips180Example) {
  EXPECT_EQ(Hex(Sha256Of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Digest, IncrementalEqualsWhole) {
  Sha256 hash;
  hash.Update("a");
  hash.Update("bc");
  EXPECT_EQ(hash.Finish(), Sha256Of("abc"));
}

TEST(Digest, KeyedHashMatchesRfc4231Case2) {  // HMAC("Jefe", ...) starts 5bdcc146bf60754e
  EXPECT_EQ(KeyedHash64("Jefe", "what do ya want for nothing?"), 0x4e7560bf46c1dc5bull);
}

TEST(Digest, RandomKeysDiffer) { EXPECT_NE(RandomKey(32), RandomKey(32)); }

}  // namespace
}  // namespace moat::core
