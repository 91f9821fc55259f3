// How a buffer is dealt out to the ranks of a group: one block each, cut at cache lines.
#pragma once

#include <cstdint>

namespace moat::comm {

struct Block {
  int64_t begin = 0;  // elements
  int64_t count = 0;
};

// The part of `count` elements that `rank` of `size` reduces. Cuts fall on multiples of 16 elements
// (a cache line of f32), so that no two ranks write to one line; the last rank takes the rest.
inline Block BlockOf(int64_t count, int rank, int size) {
  const auto cut = [&](int64_t i) { return i == size ? count : count * i / size / 16 * 16; };
  return {cut(rank), cut(rank + 1) - cut(rank)};
}

}  // namespace moat::comm
