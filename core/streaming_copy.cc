// Stores that bypass the caches, a line at a time.
#include "core/streaming_copy.h"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace moat::core {

void StreamingCopy(void* to, const void* from, size_t bytes) {
#if defined(__x86_64__)
  constexpr size_t kLine = 64;
  auto* target = static_cast<char*>(to);
  const auto* source = static_cast<const char*>(from);
  const size_t ahead = (kLine - reinterpret_cast<uintptr_t>(target) % kLine) % kLine;
  if (bytes >= ahead + kLine) {
    std::memcpy(target, source, ahead);
    target += ahead, source += ahead, bytes -= ahead;
    for (; bytes >= kLine; target += kLine, source += kLine, bytes -= kLine) {
      const auto* const in = reinterpret_cast<const __m128i*>(source);
      auto* const out = reinterpret_cast<__m128i*>(target);
      const __m128i a = _mm_loadu_si128(in), b = _mm_loadu_si128(in + 1),
                    c = _mm_loadu_si128(in + 2), d = _mm_loadu_si128(in + 3);
      _mm_stream_si128(out, a);
      _mm_stream_si128(out + 1, b);
      _mm_stream_si128(out + 2, c);
      _mm_stream_si128(out + 3, d);
    }
    _mm_sfence();  // such stores are not ordered with others by themselves
  }
  std::memcpy(target, source, bytes);
#else
  std::memcpy(to, from, bytes);
#endif
}

}  // namespace moat::core
