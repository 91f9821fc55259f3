// Matrix products: fixed tiles of the result, each one sequential product.
//
// Tiles of 128 columns reach the rate of one whole product on two cores (measured) and make the
// bits independent of threads by construction: the sum over k of one element is always taken by one
// call whose shape does not depend on threads.
#include <algorithm>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/product.h"

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kTileRows = 512;
constexpr int64_t kTileColumns = 128;

template <typename T>
void MatMul(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void* a_void,
            const void* b_void, const void* bias_void, void* c, bool c_is_f32, bool accumulate,
            const Stream& stream) {
  const auto* a = static_cast<const T*>(a_void);
  const auto* b = static_cast<const T*>(b_void);
  const auto* bias = static_cast<const T*>(bias_void);
  const int64_t row_tiles = (m + kTileRows - 1) / kTileRows;
  const int64_t column_tiles = (n + kTileColumns - 1) / kTileColumns;
  ParallelFor(row_tiles * column_tiles, stream, [&](int64_t task, int) {
    const int64_t i = task % row_tiles * kTileRows;
    const int64_t j = task / row_tiles * kTileColumns;
    ProductShape tile{std::min(kTileRows, m - i),
                      std::min(kTileColumns, n - j),
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
