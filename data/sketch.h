// Sketches: how alike two interactions are, from a few numbers of each.
//
// A text's shingles are its sequences of kShingle tokens, of all segments in a row with their
// roles. There is no tokenizer yet when an import asks: a token is a word of ASCII letters and
// digits, or any other character by itself, whatever the language; white space only separates. The
// likeness of two texts is the share of shingles in both, of those in either. Two sketches of it,
// both from Broder, "On the resemblance and containment of documents", 1997: the minima under many
// hash functions, of which that share is equal and which can be looked up, and the smallest hashes,
// which are all there are in a short text, so that its likeness is exact.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "data/interaction.h"

namespace moat::data {

inline constexpr size_t kMinHashes = 128;
inline constexpr size_t kSmallest = 256;
inline constexpr size_t kShingle = 5;

struct Sketch {
  std::array<uint32_t, kMinHashes> minima{};
  std::vector<uint32_t> smallest;  // ascending, distinct, at most kSmallest
};

// Fewer than kShingle tokens are one shingle.
Sketch SketchOf(const Interaction& interaction);

// The share of shingles in common, in [0, 1], from Sketch::smallest. Exact where both texts have at
// most kSmallest of them together; else off by 0.025 or less two times in three.
double Likeness(const std::vector<uint32_t>& a, const std::vector<uint32_t>& b);

}  // namespace moat::data
