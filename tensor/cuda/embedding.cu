// Token embeddings and rotary positions.
#include <algorithm>
#include <cmath>

#include "tensor/cuda/elementwise.cuh"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/reduce.cuh"

namespace moat::tensor::cuda {
namespace {

template <typename T>
struct EmbedTerm {
  int64_t width, first, table_rows;
  const int32_t* ids;
  const T* table;
  T* y;
  bool accumulate;
  template <int kStep>
  __device__ void Apply(int64_t token, int64_t column) const {
    const int64_t row = ids[token] - first;
    const bool here = row >= 0 && row < table_rows;
    if (!here && accumulate) return;
    float values[kStep] = {};
    if (here) LoadPack(table + row * width + column, values);
    T* const to = y + token * width + column;
    if (accumulate) {
      float sum[kStep];
      LoadPack(to, sum);
#pragma unroll
      for (int i = 0; i < kStep; ++i) values[i] += sum[i];
    }
    StorePack(values, to);
  }
};

template <typename T>
void Embed(int64_t tokens, int64_t width, int64_t first, int64_t table_rows, const int32_t* ids,
           const void* table, void* y, bool accumulate, const Stream& stream) {
  ForEachOfRows<T>("embedding", stream, tokens, width, Aligned(table, y),
                   EmbedTerm<T>{width, first, table_rows, ids, static_cast<const T*>(table),
                                static_cast<T*>(y), accumulate});
}

// The gradient. Tokens repeat, so rows collide: a row of the table belongs to one block, which
// looks through all tokens and adds those of its rows, in the order of tokens, with a thread for
// each column. So the bits are those of adding one token after another.
constexpr int kThreads = 256;
constexpr int kColumns = 4;  // of a thread
constexpr int kWarps = kThreads / 32;
constexpr int kListed = 4 * kThreads;  // tokens found before they are added
constexpr unsigned kMostBuckets = 1024;

// Tokens found in one look at kThreads of them join the list in their order.
struct TokenList {
  int32_t token[kListed], row[kListed];
  int of_warps[kWarps];
};

__device__ inline int Append(TokenList& list, int count, bool found, int32_t token, int32_t row) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const unsigned votes = __ballot_sync(kWholeWarp, found);
  if (lane == 0) list.of_warps[warp] = __popc(votes);
  __syncthreads();  // also: what was listed before has been added
  int place = count, total = count;
  for (int w = 0; w < kWarps; ++w) {
    if (w < warp) place += list.of_warps[w];
    total += list.of_warps[w];
  }
  if (found) {
    place += __popc(votes & ((1u << lane) - 1));
    list.token[place] = token;
    list.row[place] = row;
  }
  __syncthreads();
  return total;
}

// Rows of the table in the order in which they first appear; each takes its tokens in order.
template <typename T>
__device__ inline void AddListed(const TokenList& list, int count, int64_t width, const T* dy,
                                 float* dtable) {
  const int64_t first = static_cast<int64_t>(blockIdx.y) * kThreads * kColumns + threadIdx.x;
  for (int i = 0; i < count; ++i) {
    const int32_t row = list.row[i];
    bool fresh = true;
    for (int j = 0; j < i && fresh; ++j) fresh = list.row[j] != row;
    if (!fresh) continue;
    float sum[kColumns];
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int64_t column = first + c * kThreads;
      sum[c] = column < width ? dtable[row * width + column] : 0.0f;
    }
    for (int j = i; j < count; ++j) {
      if (list.row[j] != row) continue;
      const T* const from = dy + static_cast<int64_t>(list.token[j]) * width;
#pragma unroll
      for (int c = 0; c < kColumns; ++c) {
        const int64_t column = first + c * kThreads;
        if (column < width) sum[c] += Load(from + column);
      }
    }
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
      const int64_t column = first + c * kThreads;
      if (column < width) dtable[row * width + column] = sum[c];
    }
  }
}

// Block (b, part): rows b, b + gridDim.x, ... of the table; columns of the part.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    EmbedGradKernel(int64_t tokens, int64_t width, int64_t first, int64_t table_rows,
                    const int32_t* ids, const T* dy, float* dtable) {
  __shared__ TokenList list;
  int count = 0;
  for (int64_t begin = 0; begin < tokens; begin += kThreads) {
    const int64_t token = begin + threadIdx.x;
    const int64_t row = token < tokens ? ids[token] - first : -1;
    const bool found =
        row >= 0 && row < table_rows && static_cast<uint32_t>(row) % gridDim.x == blockIdx.x;
    count = Append(list, count, found, static_cast<int32_t>(token), static_cast<int32_t>(row));
    if (count + kThreads <= kListed && begin + kThreads < tokens) continue;
    AddListed(list, count, width, dy, dtable);
    count = 0;
  }
}

template <typename T>
void EmbedGrad(int64_t tokens, int64_t width, int64_t first, int64_t table_rows, const int32_t* ids,
               const void* dy, float* dtable, const Stream& stream) {
  const auto buckets = static_cast<unsigned>(std::min<int64_t>(table_rows, kMostBuckets));
  Launch("gradient of embedding", stream, EmbedGradKernel<T>,
         dim3(tokens == 0 ? 0 : buckets, Blocks(width, int64_t{kThreads} * kColumns)), kThreads, 0,
         tokens, width, first, table_rows, ids, static_cast<const T*>(dy), dtable);
}

// Turns per position of up to kPairs pairs, as an argument of the kernel. The angle is taken in f64
// up to the whole turns, which drop out, so that far positions are as exact as near ones.
constexpr int kPairs = 128;
struct Frequencies {
  double turns[kPairs];
};

// A block takes a token: the angles' cosines and sines once, then all heads. Pairs [first, first +
// count) of each head; x points at the first of them in head 0 of token 0.
template <typename T, int kStep>
__global__ void __launch_bounds__(kThreads)
    RotateKernel(int heads, int head_width, int64_t stride, int count, const int32_t* positions,
                 bool inverse, T* x, const Frequencies frequencies) {
  __shared__ float cosines[kPairs], sines[kPairs];
  x += blockIdx.x * stride;
  for (int i = threadIdx.x; i < count; i += kThreads) {
    const double turns = positions[blockIdx.x] * frequencies.turns[i];
    const float half_turns = 2.0f * static_cast<float>(turns - rint(turns));
    sincospif(half_turns, &sines[i], &cosines[i]);
    if (inverse) sines[i] = -sines[i];
  }
  __syncthreads();
  const int packs = count / kStep;
  for (int i = threadIdx.x; i < heads * packs; i += kThreads) {
    const int pair = i % packs * kStep;
    T* const first = x + i / packs * head_width + pair;
    T* const second = first + head_width / 2;
    float a[kStep], b[kStep];
    LoadPack(first, a);
    LoadPack(second, b);
#pragma unroll
    for (int j = 0; j < kStep; ++j) {
      const float c = cosines[pair + j], s = sines[pair + j], before = a[j];
      a[j] = before * c - b[j] * s;
      b[j] = before * s + b[j] * c;
    }
    StorePack(a, first);
    StorePack(b, second);
  }
}

template <typename T>
void Rotate(int64_t tokens, int64_t heads, int64_t head_width, int64_t stride,
            const int32_t* positions, double base, bool inverse, void* x_void,
            const Stream& stream) {
  constexpr double kTurn = 6.283185307179586476925;
  auto* const x = static_cast<T*>(x_void);
  const int64_t half = head_width / 2;
  const bool wide = half % kVector<T> == 0 && stride % kVector<T> == 0 && Aligned(x);
  const auto kernel = wide ? RotateKernel<T, kVector<T>> : RotateKernel<T, 1>;
  for (int64_t first = 0; first < half; first += kPairs) {
    const int64_t count = std::min<int64_t>(kPairs, half - first);
    Frequencies frequencies{};
    for (int64_t i = 0; i < count; ++i) {
      frequencies.turns[i] =
          std::pow(base, -2.0 * static_cast<double>(first + i) / static_cast<double>(head_width)) /
          kTurn;
    }
    Launch("rotary positions", stream, kernel, static_cast<unsigned>(tokens), kThreads, 0,
           static_cast<int>(heads), static_cast<int>(head_width), stride, static_cast<int>(count),
           positions, inverse, x + first, frequencies);
  }
}

template <typename T>
void Fill(KernelTable& table) {
  table.embed = Embed<T>;
  table.embed_grad = EmbedGrad<T>;
  table.rotate = Rotate<T>;
}

}  // namespace

void FillEmbedding(core::DType dtype, KernelTable& table) {
  dtype == core::DType::kF32 ? Fill<float>(table) : Fill<BFloat16>(table);
}

}  // namespace moat::tensor::cuda
