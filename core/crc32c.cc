// CRC-32C: a table; the CRC instruction on three interleaved streams, joined by a table of shifts;
// carry-less multiplication of 256 bytes at a time.
#include "core/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
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

// Registers, unlike CRCs, are not inverted.
__attribute__((target("sse4.2"))) uint64_t Advance(const uint8_t* p, size_t size, uint64_t a) {
  static const ShiftTables long_shift(kLongStream), short_shift(kShortStream);
  a = ThreeStreams<kLongStream>(long_shift, a, &p, &size);
  a = ThreeStreams<kShortStream>(short_shift, a, &p, &size);
  for (; size >= 8; p += 8, size -= 8) a = _mm_crc32_u64(a, Load(p));
  for (; size > 0; ++p, --size) a = _mm_crc32_u8(static_cast<uint32_t>(a), *p);
  return a;
}

constexpr size_t kLine = 64;  // of a cache

// Copies a line past the caches; `to` starts one.
__attribute__((target("sse4.2"))) inline void StreamLine(uint8_t* to, const uint8_t* from) {
  for (size_t i = 0; i < kLine; i += 16) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(to + i),
                     _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i)));
  }
}

// ThreeStreams that copies on the way. The streams lie far apart, so that reading one waits for
// memory while others are written.
__attribute__((target("sse4.2"))) uint64_t CopyThreeStreams(const ShiftTables& shift, uint64_t a,
                                                            uint8_t** to, const uint8_t** from,
                                                            size_t* left) {
  constexpr size_t kTogether = 3 * kLongStream;
  for (; *left >= kTogether; *from += kTogether, *to += kTogether, *left -= kTogether) {
    uint64_t b = 0, c = 0;
    const uint8_t* const p = *from;
    for (size_t i = 0; i < kLongStream; i += kLine) {
      for (size_t word = i; word < i + kLine; word += 8) {
        a = _mm_crc32_u64(a, Load(p + word));
        b = _mm_crc32_u64(b, Load(p + kLongStream + word));
        c = _mm_crc32_u64(c, Load(p + 2 * kLongStream + word));
      }
      for (size_t stream = 0; stream < kTogether; stream += kLongStream) {
        StreamLine(*to + stream + i, p + stream + i);
      }
    }
    a = shift(static_cast<uint32_t>(shift(static_cast<uint32_t>(a)) ^ b)) ^ c;
  }
  return a;
}

__attribute__((target("sse4.2"))) uint32_t CopyPastCaches(uint8_t* to, const uint8_t* from,
                                                          size_t size, uint32_t crc) {
  static const ShiftTables shift(kLongStream);
  const size_t ahead = (kLine - reinterpret_cast<uintptr_t>(to) % kLine) % kLine;
  uint64_t a = ~crc;
  if (size >= ahead + 3 * kLongStream) {
    a = Advance(from, ahead, a);
    std::memcpy(to, from, ahead);
    to += ahead, from += ahead, size -= ahead;
    a = CopyThreeStreams(shift, a, &to, &from, &size);
    _mm_sfence();  // such stores are not ordered with others by themselves
  }
  std::memcpy(to, from, size);
  return ~static_cast<uint32_t>(Advance(from, size, a));
}

uint32_t Crc32cInstruction(const void* data, size_t size, uint32_t crc) {
  return ~static_cast<uint32_t>(Advance(static_cast<const uint8_t*>(data), size, ~crc));
}

// Folding (Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
// Instruction", Intel, 2009): 128 bits that are followed by `distance` more are congruent, modulo
// the polynomial, to low * x^(distance + 32) + high * x^(distance - 32), and so join what lies
// `distance` bits further on. Reflected, a product is one bit short, which the factors make up for.
struct FoldFactors {
  uint64_t low, high;
  explicit FoldFactors(int distance) : low(Power(distance + 32)), high(Power(distance - 32)) {}

 private:
  static uint64_t Power(int exponent) {  // of x, reflected
    uint32_t value = 0x80000000u;
    for (int i = 0; i < exponent; ++i) {
      value = (value >> 1) ^ ((value & 1) ? kPolynomial : 0);
    }
    return uint64_t{value} << 1;
  }
};

constexpr size_t kFold = 256;  // bytes: four vectors of four lanes
#define MOAT_FOLDING __attribute__((target("avx512f,avx512vl,vpclmulqdq,pclmul,sse4.2")))

MOAT_FOLDING inline __m512i FoldInto(__m512i lanes, __m512i factors, __m512i next) {
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(lanes, factors, 0x00),
                                   _mm512_clmulepi64_epi128(lanes, factors, 0x11), next, 0x96);
}

MOAT_FOLDING uint32_t Crc32cFolding(const void* data, size_t size, uint32_t crc) {
  static const FoldFactors whole(8 * kFold), lane(128);
  const auto* p = static_cast<const uint8_t*>(data);
  if (size < 2 * kFold) return Crc32cInstruction(data, size, crc);
  __m512i x0 = _mm512_xor_si512(_mm512_loadu_si512(p),
                                _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(~crc))));
  __m512i x1 = _mm512_loadu_si512(p + 64), x2 = _mm512_loadu_si512(p + 128),
          x3 = _mm512_loadu_si512(p + 192);
  const auto low = static_cast<int64_t>(whole.low), high = static_cast<int64_t>(whole.high);
  const __m512i factors = _mm512_set_epi64(high, low, high, low, high, low, high, low);
  for (p += kFold, size -= kFold; size >= kFold; p += kFold, size -= kFold) {
    x0 = FoldInto(x0, factors, _mm512_loadu_si512(p));
    x1 = FoldInto(x1, factors, _mm512_loadu_si512(p + 64));
    x2 = FoldInto(x2, factors, _mm512_loadu_si512(p + 128));
    x3 = FoldInto(x3, factors, _mm512_loadu_si512(p + 192));
  }
  alignas(64) __m128i lanes[16];
  _mm512_store_si512(lanes, x0);
  _mm512_store_si512(lanes + 4, x1);
  _mm512_store_si512(lanes + 8, x2);
  _mm512_store_si512(lanes + 12, x3);
  const __m128i one =
      _mm_set_epi64x(static_cast<int64_t>(lane.high), static_cast<int64_t>(lane.low));
  __m128i all = lanes[0];
  for (int i = 1; i < 16; ++i) {
    all = _mm_xor_si128(
        _mm_xor_si128(_mm_clmulepi64_si128(all, one, 0x00), _mm_clmulepi64_si128(all, one, 0x11)),
        lanes[i]);
  }
  uint64_t a = _mm_crc32_u64(0, static_cast<uint64_t>(_mm_cvtsi128_si64(all)));
  a = _mm_crc32_u64(a, static_cast<uint64_t>(_mm_extract_epi64(all, 1)));
  return ~static_cast<uint32_t>(Advance(p, size, a));
}
#undef MOAT_FOLDING
#endif

// The product of two polynomials modulo the CRC's, all reflected: bit 31 is the constant.
uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 1u << 31; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = (b >> 1) ^ ((b & 1) ? kPolynomial : 0);
  }
  return product;
}

uint32_t Crc32cTable(const void* data, size_t size, uint32_t crc) {
  const auto* p = static_cast<const uint8_t*>(data);
  crc = ~crc;
  for (size_t i = 0; i < size; ++i) crc = kTable[(crc ^ p[i]) & 0xff] ^ (crc >> 8);
  return ~crc;
}

}  // namespace

std::vector<Crc32cWay> Crc32cWays() {
  std::vector<Crc32cWay> ways = {{"table", Crc32cTable}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) ways.push_back({"sse4.2", Crc32cInstruction});
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("pclmul")) {
    ways.push_back({"vpclmulqdq", Crc32cFolding});
  }
#endif
  return ways;
}

// `second_bytes` zeros after the first part multiply its CRC by x to their bits.
uint32_t CombineCrc32c(uint32_t first, uint32_t second, int64_t second_bytes) {
  uint32_t power = 1u << 23;  // x^8, then its squares
  for (auto n = static_cast<uint64_t>(second_bytes); n != 0; n >>= 1) {
    if (n & 1) first = Multiply(power, first);
    power = Multiply(power, power);
  }
  return first ^ second;
}

uint32_t Crc32c(const void* data, size_t size, uint32_t crc) {
  static const auto fastest = Crc32cWays().back().crc;
  return fastest(data, size, crc);
}

uint32_t CopyWithCrc32c(void* to, const void* from, size_t size, uint32_t crc) {
#if defined(__x86_64__)
  static const bool past_caches = __builtin_cpu_supports("sse4.2");
  if (past_caches) {
    return CopyPastCaches(static_cast<uint8_t*>(to), static_cast<const uint8_t*>(from), size, crc);
  }
#endif
  std::memcpy(to, from, size);
  return Crc32c(to, size, crc);
}

}  // namespace moat::core
