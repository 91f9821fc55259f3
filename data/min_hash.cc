// Tokens, shingles of their hashes, and minima.
#include "data/min_hash.h"

#include <algorithm>
#include <cctype>
#include <string>
#include <string_view>

#include "core/rng.h"

namespace moat::data {
namespace {

// The hash functions: the upper half of a product and a sum.
struct HashFunctions {
  std::array<uint64_t, kMinHashes> factor, summand;

  HashFunctions() {
    for (size_t i = 0; i < kMinHashes; ++i) {
      factor[i] = core::Mix64(2 * i + 1) | 1;
      summand[i] = core::Mix64(2 * i + 2);
    }
  }
};

class ShingleMinima {
 public:
  ShingleMinima() { minima_.fill(UINT32_MAX); }

  void AddToken(std::string_view token) {
    const uint64_t hash = core::KeyFromName(0, token);
    std::rotate(last_.begin(), last_.begin() + 1, last_.end());
    last_.back() = hash;
    if (++tokens_ >= kShingle) AddShingle();
  }

  Signature Finish() {
    if (tokens_ < kShingle) AddShingle();
    return minima_;
  }

 private:
  void AddShingle() {
    uint64_t shingle = 0;
    for (const uint64_t token : last_) shingle = core::Mix64(shingle ^ token);
    static const HashFunctions functions;
    for (size_t i = 0; i < kMinHashes; ++i) {
      const uint64_t value = (shingle * functions.factor[i] + functions.summand[i]) >> 32;
      minima_[i] = std::min(minima_[i], static_cast<uint32_t>(value));
    }
  }

  Signature minima_{};
  std::array<uint64_t, kShingle> last_{};  // hashes of the last tokens
  size_t tokens_ = 0;
};

bool InWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

bool Continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

void AddText(std::string_view text, ShingleMinima* minima) {
  for (size_t start = 0; start < text.size();) {
    size_t end = start + 1;
    if (InWord(text[start])) {
      while (end < text.size() && InWord(text[end])) ++end;
    } else {
      while (end < text.size() && Continues(text[end])) ++end;
    }
    if (std::isspace(static_cast<unsigned char>(text[start])) == 0) {
      minima->AddToken(text.substr(start, end - start));
    }
    start = end;
  }
}

}  // namespace

Signature SignatureOf(const Interaction& interaction) {
  ShingleMinima minima;
  for (const Segment& segment : interaction.segments) {
    minima.AddToken(std::string("<|") + Name(segment.role));
    AddText(segment.text, &minima);
  }
  return minima.Finish();
}

double Likeness(const Signature& a, const Signature& b) {
  size_t equal = 0;
  for (size_t i = 0; i < kMinHashes; ++i) equal += a[i] == b[i] ? 1 : 0;
  return static_cast<double>(equal) / kMinHashes;
}

}  // namespace moat::data
