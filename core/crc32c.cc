// CRC-32C: hardware instruction on three interleaved streams, joined by a table of shifts.
#include "core/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace moat::core {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78u;  // reflected

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomial : 0);
    table[i] = crc;
  }
  return table;
}
constexpr auto kTable = MakeTable();

#if defined(__x86_64__)
// Bytes per interleaved stream: for large inputs, and for those of a few KB, where the longer joins
// still pay.
constexpr size_t kLongStream = 4096;
constexpr size_t kShortStream = 256;

// Four tables that advance a CRC register over `stream` zero bytes, one per byte of the register.
struct ShiftTables {
  uint32_t at[4][256];
  explicit ShiftTables(size_t stream) {
    for (int byte = 0; byte < 4; ++byte) {
      for (uint32_t value = 0; value < 256; ++value) {
        uint32_t crc = value << (8 * byte);
        for (size_t i = 0; i < stream; ++i) crc = kTable[crc & 0xff] ^ (crc >> 8);
        at[byte][value] = crc;
      }
    }
  }
  uint32_t operator()(uint32_t crc) const {
    return at[0][crc & 0xff] ^ at[1][crc >> 8 & 0xff] ^ at[2][crc >> 16 & 0xff] ^ at[3][crc >> 24];
  }
};

uint64_t Load(const uint8_t* p) {
  uint64_t word;
  std::memcpy(&word, p, 8);
  return word;
}

// Takes three streams of kStream bytes at a time, as long as there are that many.
template <size_t kStream>
__attribute__((target("sse4.2"))) uint64_t ThreeStreams(const ShiftTables& shift, uint64_t a,
                                                        const uint8_t** at, size_t* left) {
  const uint8_t* p = *at;
  for (; *left >= 3 * kStream; p += 3 * kStream, *left -= 3 * kStream) {
    uint64_t b = 0, c = 0;
    for (size_t i = 0; i < kStream; i += 8) {
      a = _mm_crc32_u64(a, Load(p + i));
      b = _mm_crc32_u64(b, Load(p + kStream + i));
      c = _mm_crc32_u64(c, Load(p + 2 * kStream + i));
    }
    a = shift(static_cast<uint32_t>(shift(static_cast<uint32_t>(a)) ^ b)) ^ c;
  }
  *at = p;
  return a;
}

__attribute__((target("sse4.2"))) uint32_t Crc32cHardware(const uint8_t* p, size_t size,
                                                          uint32_t crc) {
  static const ShiftTables long_shift(kLongStream), short_shift(kShortStream);
  uint64_t a = ~crc;
  a = ThreeStreams<kLongStream>(long_shift, a, &p, &size);
  a = ThreeStreams<kShortStream>(short_shift, a, &p, &size);
  for (; size >= 8; p += 8, size -= 8) a = _mm_crc32_u64(a, Load(p));
  for (; size > 0; ++p, --size) a = _mm_crc32_u8(static_cast<uint32_t>(a), *p);
  return ~static_cast<uint32_t>(a);
}
#endif

}  // namespace

uint32_t Crc32cPortable(const void* data, size_t size, uint32_t crc) {
  const auto* p = static_cast<const uint8_t*>(data);
  crc = ~crc;
  for (size_t i = 0; i < size; ++i) crc = kTable[(crc ^ p[i]) & 0xff] ^ (crc >> 8);
  return ~crc;
}

uint32_t Crc32c(const void* data, size_t size, uint32_t crc) {
#if defined(__x86_64__)
  static const bool hardware = __builtin_cpu_supports("sse4.2");
  if (hardware) return Crc32cHardware(static_cast<const uint8_t*>(data), size, crc);
#endif
  return Crc32cPortable(data, size, crc);
}

}  // namespace moat::core
