// FP8 on a device: scales and codes. The product is cuBLASLt's (matmul.cc).
#include "tensor/cuda/float8.cuh"

#include "core/float8.h"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/launch.h"
#include "tensor/cuda/reduce.cuh"

namespace moat::tensor::cuda {
namespace {

constexpr int kThreads = 256;
constexpr unsigned kMostBlocks = 1024;  // that read a tensor, each with a maximum of its own

// Of magnitudes as bits without their sign, which have the numbers' order; NaN is above all.
struct LargestWord {
  static constexpr uint32_t kNothing = 0;
  __device__ static uint32_t Of(uint32_t a, uint32_t b) { return a > b ? a : b; }
};

// 16 neighbours at a time. A maximum has the same bits in any order.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    MagnitudeKernel(int64_t packs, const T* x, uint32_t* largest) {
  uint32_t most = 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < packs;
       i += step) {
    float values[kFloat8Pack];
    LoadPack(x + i * kFloat8Pack, values);
#pragma unroll
    for (const float value : values) {
      most = LargestWord::Of(most, __float_as_uint(value) & 0x7fffffffu);
    }
  }
  most = OverBlock<LargestWord, kThreads>(most);
  if (threadIdx.x == 0) largest[blockIdx.x] = most;
}

// core::Float8Scale.
__device__ float ScaleOf(uint32_t largest_magnitude, int largest_exponent) {
  if (largest_magnitude == 0) return 1.0f;
  if (largest_magnitude >= 0x7f800000u) return __uint_as_float(0x7fc00000u);
  const int exponent = static_cast<int>((largest_magnitude + core::kAboveLargestMantissa) >> 23) -
                       127 - largest_exponent;
  return __uint_as_float(static_cast<uint32_t>(max(-120, min(exponent, 120)) + 127) << 23);
}

__global__ void __launch_bounds__(kThreads)
    ScaleKernel(unsigned count, const uint32_t* largest, int largest_exponent, float* scale) {
  uint32_t most = 0;
  for (unsigned i = threadIdx.x; i < count; i += kThreads) most = LargestWord::Of(most, largest[i]);
  most = OverBlock<LargestWord, kThreads>(most);
  if (threadIdx.x == 0) *scale = ScaleOf(most, largest_exponent);
}

template <typename T>
void ScaleFor(core::DType format, int64_t count, const void* x, float* scale,
              const Stream& stream) {
  const int64_t packs = count / kFloat8Pack;
  const unsigned blocks = min(Blocks(packs, kThreads), kMostBlocks);
  auto* const largest = static_cast<uint32_t*>(Of(stream).workspace());
  Launch("largest magnitudes", stream, MagnitudeKernel<T>, blocks, kThreads, 0, packs,
         static_cast<const T*>(x), largest);
  Launch("a scale", stream, ScaleKernel, 1, kThreads, 0, blocks, largest,
         core::Float8FormatOf(format).largest_exponent, scale);
}

template <bool e5m2, typename T>
__global__ void __launch_bounds__(kThreads)
    FlatCodesKernel(int64_t packs, const T* x, const float* scale, uint8_t* values) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= packs) return;
  const float inverse = 1.0f / *scale;
  reinterpret_cast<uint4*>(values)[i] = CodesOf<e5m2>(x + i * kFloat8Pack, inverse);
}

constexpr int kTile = 64;              // rows and columns of a block
constexpr int kPitch = kTile / 4 + 1;  // words between its rows: a column's are in many banks
constexpr int kPacks = kTile / kFloat8Pack;
static_assert(kTile * kPacks == kThreads);

// A thread codes 16 neighbours of a row; then it gathers 16 of a column. Edges are whole packs.
template <bool e5m2, typename T>
__global__ void __launch_bounds__(kThreads)
    TileCodesKernel(int64_t rows, int64_t columns, const T* x, const float* scale, uint8_t* values,
                    uint8_t* transposed) {
  __shared__ uint32_t codes[kTile * kPitch];
  const int64_t top = static_cast<int64_t>(blockIdx.y) * kTile;
  const int64_t left = static_cast<int64_t>(blockIdx.x) * kTile;
  const int line = static_cast<int>(threadIdx.x) / kPacks;
  const int pack = static_cast<int>(threadIdx.x) % kPacks;
  if (top + line < rows && left + pack * kFloat8Pack < columns) {
    const int64_t at = (top + line) * columns + left + pack * kFloat8Pack;
    const uint4 coded = CodesOf<e5m2>(x + at, 1.0f / *scale);
    if (values != nullptr) *reinterpret_cast<uint4*>(values + at) = coded;
    uint32_t* const to = codes + line * kPitch + pack * 4;
    to[0] = coded.x;
    to[1] = coded.y;
    to[2] = coded.z;
    to[3] = coded.w;
  }
  __syncthreads();
  if (left + line >= columns || top + pack * kFloat8Pack >= rows) return;
  uint32_t words[4] = {};
  const int byte = line % 4 * 8;
#pragma unroll
  for (int i = 0; i < kFloat8Pack; ++i) {
    const uint32_t word = codes[(pack * kFloat8Pack + i) * kPitch + line / 4];
    words[i / 4] |= (word >> byte & 0xffu) << (i % 4 * 8);
  }
  *reinterpret_cast<uint4*>(transposed + (left + line) * rows + top + pack * kFloat8Pack) = {
      words[0], words[1], words[2], words[3]};
}

template <bool e5m2, typename T>
void QuantizeTo(int64_t rows, int64_t columns, const T* x, const float* scale, uint8_t* values,
                uint8_t* transposed, const Stream& stream) {
  if (transposed == nullptr) {
    const int64_t packs = rows * columns / kFloat8Pack;
    return Launch("Quantize", stream, FlatCodesKernel<e5m2, T>, Blocks(packs, kThreads), kThreads,
                  0, packs, x, scale, values);
  }
  Launch("Quantize", stream, TileCodesKernel<e5m2, T>,
         dim3(Blocks(columns, kTile), Blocks(rows, kTile)), kThreads, 0, rows, columns, x, scale,
         values, transposed);
}

template <typename T>
void Quantize(core::DType format, int64_t rows, int64_t columns, const void* x, const float* scale,
              uint8_t* values, uint8_t* transposed, const Stream& stream) {
  const auto quantize = format == core::DType::kE4M3 ? QuantizeTo<false, T> : QuantizeTo<true, T>;
  quantize(rows, columns, static_cast<const T*>(x), scale, values, transposed, stream);
}

template <typename T>
void Fill(KernelTable& table) {
  table.scale_for = ScaleFor<T>;
  table.quantize = Quantize<T>;
}

}  // namespace

void FillFloat8(core::DType dtype, KernelTable& table) {
  dtype == core::DType::kF32 ? Fill<float>(table) : Fill<BFloat16>(table);
}

}  // namespace moat::tensor::cuda
