// Matrix products: fixed tiles of the result, each one sequential product.
//
// That makes bits independent of threads by construction: the sum over k of one element is always
// taken by one call whose shape does not depend on threads. A tile should be large, since a product
// repacks its operands, and there should be a few of equal size, since threads share them.
#include <algorithm>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/product.h"

namespace moat::tensor::cpu {
namespace {

// The size of tiles of an m x n result.
struct TileSize {
  int64_t rows, columns;
};

// `total` in `pieces` of one size, a multiple of 16 but for the last.
int64_t Share(int64_t total, int64_t pieces) {
  return ((total + pieces - 1) / pieces + 15) / 16 * 16;
}

// Measured with build/bin/bench_ops: f32 does as well with narrow tiles, of which there are more;
// bf16 loses an eighth with them, and 5% below 256 x 768.
template <typename T>
TileSize TilesOf(int64_t m, int64_t n);

template <>
TileSize TilesOf<float>(int64_t, int64_t) {
  return {512, 128};
}

template <>
TileSize TilesOf<core::BFloat16>(int64_t m, int64_t n) {
  int64_t down = (m + 511) / 512, across = (n + 767) / 768;
  if (down * across % 2 == 1 && down * across > 1) ++down;  // two threads share them evenly
  if (down * across < 4 && m / down >= 512) down *= 2;      // four threads have work
  if (down * across == 1 && n >= 512) across = 2;
  return {Share(m, down), Share(n, across)};
}

template <typename T>
void MatMul(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void* a_void,
            const void* b_void, const void* bias_void, void* c, bool c_is_f32, bool accumulate,
            const Stream& stream) {
  const auto* a = static_cast<const T*>(a_void);
  const auto* b = static_cast<const T*>(b_void);
  const auto* bias = static_cast<const T*>(bias_void);
  const TileSize size = TilesOf<T>(m, n);
  const int64_t row_tiles = (m + size.rows - 1) / size.rows;
  const int64_t column_tiles = (n + size.columns - 1) / size.columns;
  ParallelFor(row_tiles * column_tiles, stream, [&](int64_t task, int) {
    const int64_t i = task % row_tiles * size.rows;
    const int64_t j = task / row_tiles * size.columns;
    ProductShape tile{std::min(size.rows, m - i),
                      std::min(size.columns, n - j),
                      k,
                      trans_a ? 1 : k,
                      trans_a ? m : 1,
                      trans_b ? 1 : n,
                      trans_b ? k : 1,
                      n,
                      c_is_f32,
                      accumulate,
                      bias != nullptr};
    const int64_t c_bytes =
        (i * n + j) * static_cast<int64_t>(c_is_f32 ? sizeof(float) : sizeof(T));
    Product(tile, a + i * tile.a_row, b + j * tile.b_column, bias ? bias + j : nullptr,
            static_cast<char*>(c) + c_bytes);
  });
}

}  // namespace

template <typename T>
void FillMatMul(KernelTable& table) {
  table.matmul = MatMul<T>;
}

template void FillMatMul<float>(KernelTable&);
template void FillMatMul<core::BFloat16>(KernelTable&);

}  // namespace moat::tensor::cpu
