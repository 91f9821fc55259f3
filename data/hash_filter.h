// A set of hashes in fixed memory that may say yes to one never put in (a Bloom filter; Bloom,
// 1970), never no to one that was.
//
// A hash sets six bits of one 64-byte block, so that asking costs one cache miss. At 64 MiB, 40
// million hashes give a wrong yes for less than one in a hundred others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "core/rng.h"

namespace moat::data {

class HashFilter {
 public:
  static constexpr size_t kBytes = 64 << 20;

  // REQUIRES: a power of two of at least 64 bytes.
  explicit HashFilter(size_t bytes = kBytes)
      : blocks_(bytes / 64), words_(static_cast<uint64_t*>(std::calloc(bytes, 1)), &std::free) {
    if (!words_) throw std::bad_alloc();
  }

  void Insert(uint64_t hash) {
    uint64_t* block = words_.get() + BlockOf(hash);
    uint64_t bits = core::Mix64(hash);
    for (int i = 0; i < kBitsPerHash; ++i, bits >>= 9) {
      block[bits >> 6 & 7] |= uint64_t{1} << (bits & 63);
    }
  }

  bool MayContain(uint64_t hash) const {
    const uint64_t* block = words_.get() + BlockOf(hash);
    uint64_t bits = core::Mix64(hash);
    bool all = true;
    for (int i = 0; i < kBitsPerHash; ++i, bits >>= 9) {
      all = all && (block[bits >> 6 & 7] >> (bits & 63) & 1) != 0;
    }
    return all;
  }

 private:
  static constexpr int kBitsPerHash = 6;

  size_t BlockOf(uint64_t hash) const { return core::Mix64(~hash) % blocks_ * 8; }

  size_t blocks_;
  std::unique_ptr<uint64_t[], decltype(&std::free)> words_;  // pages come when they are used
};

}  // namespace moat::data
