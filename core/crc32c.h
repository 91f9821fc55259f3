// CRC-32C (Castagnoli, RFC 3720 appendix B.4): every byte that moat stores is covered by one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace moat::core {

// The CRC of `size` bytes, continuing from `crc` (0 to start): Crc32c(b, nb, Crc32c(a, na)) is the
// CRC of a followed by b. Uses the fastest way that the processor has.
uint32_t Crc32c(const void* data, size_t size, uint32_t crc = 0);

// Copies like memcpy and returns Crc32c(from, size, crc), in one pass over memory. Goes past the
// caches where the processor can (a line of `to` is not read before it is overwritten), so it is
// for what is larger than they are and not read soon. Other threads see the copy once they have
// synchronised with this one, as ever.
uint32_t CopyWithCrc32c(void* to, const void* from, size_t size, uint32_t crc = 0);

// The CRC of a followed by b, from the CRCs of both; b has `second_bytes` bytes. Takes about a
// microsecond.
uint32_t CombineCrc32c(uint32_t first, uint32_t second, int64_t second_bytes);

// The ways, for tests: the portable one first, then those that this processor has, the fastest
// last.
struct Crc32cWay {
  const char* name;  // "table", "sse4.2", "vpclmulqdq"
  uint32_t (*crc)(const void* data, size_t size, uint32_t crc);
};
std::vector<Crc32cWay> Crc32cWays();

}  // namespace moat::core
