// Matrix products: fixed tiles of the result, each one sequential oneDNN product.
//
// Tiles of 128 columns reach the rate of one whole product on two cores (measured) and make the
// bits independent of threads by construction: the sum over k of one element is always taken by one
// call whose shape does not depend on threads.
#include <dnnl.h>

#include <algorithm>

#include "core/error.h"
#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kTileRows = 512;
constexpr int64_t kTileColumns = 128;

MOAT_ROW_KERNEL void AddRow(const float* x, float* y, int64_t width) {
  for (int64_t i = 0; i < width; ++i) y[i] += x[i];
}

void MatMulF32(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void* a_void,
               const void* b_void, const void* bias, void* c_void, bool, bool accumulate,
               const Stream& stream) {
  const auto* a = static_cast<const float*>(a_void);
  const auto* b = static_cast<const float*>(b_void);
  auto* c = static_cast<float*>(c_void);
  const int64_t lda = trans_a ? m : k;
  const int64_t ldb = trans_b ? k : n;
  const int64_t row_tiles = (m + kTileRows - 1) / kTileRows;
  const int64_t column_tiles = (n + kTileColumns - 1) / kTileColumns;
  ParallelFor(row_tiles * column_tiles, stream, [&](int64_t task, int) {
    const int64_t i = task % row_tiles * kTileRows;
    const int64_t j = task / row_tiles * kTileColumns;
    const float* tile_a = a + (trans_a ? i : i * lda);
    const float* tile_b = b + (trans_b ? j * ldb : j);
    const int64_t rows = std::min(kTileRows, m - i), columns = std::min(kTileColumns, n - j);
    float* tile_c = c + i * n + j;
    dnnl_sgemm(trans_a ? 'T' : 'N', trans_b ? 'T' : 'N', rows, columns, k, 1.0f, tile_a, lda,
               tile_b, ldb, accumulate ? 1.0f : 0.0f, tile_c, n);
    for (int64_t r = 0; bias && r < rows; ++r) {  // while the tile is in the cache
      AddRow(static_cast<const float*>(bias) + j, tile_c + r * n, columns);
    }
  });
}

}  // namespace

void FillMatMul(KernelTable& table) { table.matmul = MatMulF32; }

}  // namespace moat::tensor::cpu
