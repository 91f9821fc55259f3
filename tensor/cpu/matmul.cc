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

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kTileRows = 512;
constexpr int64_t kTileColumns = 128;

void MatMulF32(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void* a_void,
               const void* b_void, void* c_void, bool, bool accumulate, const Stream& stream) {
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
    dnnl_sgemm(trans_a ? 'T' : 'N', trans_b ? 'T' : 'N', std::min(kTileRows, m - i),
               std::min(kTileColumns, n - j), k, 1.0f, tile_a, lda, tile_b, ldb,
               accumulate ? 1.0f : 0.0f, c + i * n + j, n);
  });
}

}  // namespace

void FillMatMul(KernelTable& table) { table.matmul = MatMulF32; }

}  // namespace moat::tensor::cpu
