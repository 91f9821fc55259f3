// core/rng.h's Philox4x32 on a device: the same bits.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace moat::tensor::cuda {

// Ten rounds; `words` is the counter, then the result. Salmon et al., SC'11, section 3.3.
__device__ inline void Philox4x32(uint32_t (&words)[4], uint32_t key0, uint32_t key1) {
#pragma unroll
  for (int round = 0; round < 10; ++round) {
    const uint32_t high0 = __umulhi(0xD2511F53u, words[0]), low0 = 0xD2511F53u * words[0];
    const uint32_t high1 = __umulhi(0xCD9E8D57u, words[2]), low1 = 0xCD9E8D57u * words[2];
    words[0] = high1 ^ words[1] ^ key0;
    words[1] = low1;
    words[2] = high0 ^ words[3] ^ key1;
    words[3] = low0;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

}  // namespace moat::tensor::cuda
