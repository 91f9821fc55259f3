// CRC-32C (Castagnoli, RFC 3720 appendix B.4): every byte that moat stores is covered by one.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moat::core {

// The CRC of `size` bytes, continuing from `crc` (0 to start): Crc32c(b, nb, Crc32c(a, na)) is the
// CRC of a followed by b. Uses the SSE4.2 instruction where the processor has it, on three
// interleaved streams.
uint32_t Crc32c(const void* data, size_t size, uint32_t crc = 0);

// The portable twin, for tests and other processors.
uint32_t Crc32cPortable(const void* data, size_t size, uint32_t crc = 0);

}  // namespace moat::core
