// Tokens, shingles of their hashes, and what is kept of those.
#include "data/sketch.h"

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

class Shingles {
 public:
  void AddToken(std::string_view token) {
    const uint64_t hash = core::KeyFromName(0, token);
    std::rotate(last_.begin(), last_.begin() + 1, last_.end());
    last_.back() = hash;
    if (++tokens_ >= kShingle) AddShingle();
  }

  Sketch Finish() {
    if (tokens_ < kShingle) AddShingle();
    std::sort(hashes_.begin(), hashes_.end());
    hashes_.erase(std::unique(hashes_.begin(), hashes_.end()), hashes_.end());
    Sketch sketch;
    sketch.minima = Minima();
    for (const uint64_t hash : hashes_) {
      const auto half = static_cast<uint32_t>(hash >> 32);
      if (!sketch.smallest.empty() && sketch.smallest.back() == half) continue;
      sketch.smallest.push_back(half);
      if (sketch.smallest.size() == kSmallest) break;
    }
    return sketch;
  }

 private:
  void AddShingle() {
    uint64_t shingle = 0;
    for (const uint64_t token : last_) shingle = core::Mix64(shingle ^ token);
    hashes_.push_back(shingle);
  }

  std::array<uint32_t, kMinHashes> Minima() const {
    static const HashFunctions functions;
    std::array<uint32_t, kMinHashes> minima;
    minima.fill(UINT32_MAX);
    for (const uint64_t hash : hashes_) {
      for (size_t i = 0; i < kMinHashes; ++i) {
        const uint64_t value = (hash * functions.factor[i] + functions.summand[i]) >> 32;
        minima[i] = std::min(minima[i], static_cast<uint32_t>(value));
      }
    }
    return minima;
  }

  std::vector<uint64_t> hashes_;
  std::array<uint64_t, kShingle> last_{};  // hashes of the last tokens
  size_t tokens_ = 0;
};

bool InWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; }

bool Continues(char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

void AddText(std::string_view text, Shingles* shingles) {
  for (size_t start = 0; start < text.size();) {
    size_t end = start + 1;
    if (InWord(text[start])) {
      while (end < text.size() && InWord(text[end])) ++end;
    } else {
      while (end < text.size() && Continues(text[end])) ++end;
    }
    if (std::isspace(static_cast<unsigned char>(text[start])) == 0) {
      shingles->AddToken(text.substr(start, end - start));
    }
    start = end;
  }
}

}  // namespace

Sketch SketchOf(const Interaction& interaction) {
  Shingles shingles;
  for (const Segment& segment : interaction.segments) {
    shingles.AddToken(std::string("<|") + Name(segment.role));
    AddText(segment.text, &shingles);
  }
  return shingles.Finish();
}

double Likeness(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b) {
  size_t in_a = 0, in_b = 0, both = 0, either = 0;
  for (; either < kSmallest && (in_a < a.size() || in_b < b.size()); ++either) {
    const bool from_a = in_b == b.size() || (in_a < a.size() && a[in_a] <= b[in_b]);
    const bool from_b = in_a == a.size() || (in_b < b.size() && b[in_b] <= a[in_a]);
    both += from_a && from_b ? 1 : 0;
    in_a += from_a ? 1 : 0;
    in_b += from_b ? 1 : 0;
  }
  return static_cast<double>(both) / static_cast<double>(either);
}

}  // namespace moat::data
