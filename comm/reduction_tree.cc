// The reduction tree over memory: leaves of up to four sources at a time, in blocks that stay in
// the first-level cache.
#include "comm/reduction_tree.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace moat::comm {
namespace {

constexpr int64_t kBlock = 512;  // elements
constexpr int kMaxRanks = 1024;
constexpr int kLevels = 8;  // of the tree above leaves of four

template <ReduceOp kOp, typename T>
inline T Apply(T a, T b) {
  if constexpr (kOp == ReduceOp::kSum) return a + b;
  if constexpr (kOp == ReduceOp::kMax) return a > b ? a : b;
  if constexpr (kOp == ReduceOp::kMin) return a < b ? a : b;
}

// Up to four sources. `out` is one of them or overlaps none, so iterations are independent.
template <ReduceOp kOp, typename T>
void CombineLeaf(const T* const* s, int n, int64_t at, int64_t count, T* out) {
  const T* const a = s[0] + at;
  const T* const b = s[n > 1 ? 1 : 0] + at;
  const T* const c = s[n > 2 ? 2 : 0] + at;
  const T* const d = s[n > 3 ? 3 : 0] + at;
  switch (n) {
    case 1:
      std::memmove(out, a, static_cast<size_t>(count) * sizeof(T));
      return;
    case 2:
#pragma GCC ivdep
      for (int64_t i = 0; i < count; ++i) out[i] = Apply<kOp>(a[i], b[i]);
      return;
    case 3:
#pragma GCC ivdep
      for (int64_t i = 0; i < count; ++i) out[i] = Apply<kOp>(Apply<kOp>(a[i], b[i]), c[i]);
      return;
    default:
#pragma GCC ivdep
      for (int64_t i = 0; i < count; ++i) {
        out[i] = Apply<kOp>(Apply<kOp>(a[i], b[i]), Apply<kOp>(c[i], d[i]));
      }
  }
}

// Sub-results go to `scratch` (two blocks per level), never to `out`, which may be a source that is
// still to be read.
template <ReduceOp kOp, typename T>
void Combine(const T* const* s, int n, int64_t at, int64_t count, T* out, T* scratch) {
  if (n <= 4) return CombineLeaf<kOp>(s, n, at, count, out);
  const int left = LeftPart(n);
  T* const parts[2] = {scratch, scratch + kBlock};
  Combine<kOp>(s, left, at, count, parts[0], scratch + 2 * kBlock);
  Combine<kOp>(s + left, n - left, at, count, parts[1], scratch + 2 * kBlock);
  CombineLeaf<kOp>(parts, 2, 0, count, out);
}

template <ReduceOp kOp, typename T>
void ReduceBlocks(const void* const* sources, int n, int64_t count, void* out) {
  alignas(64) T scratch[2 * kLevels * kBlock];
  const T* typed[kMaxRanks];
  for (int r = 0; r < n; ++r) typed[r] = static_cast<const T*>(sources[r]);
  auto* const to = static_cast<T*>(out);
  if (n <= 4) return CombineLeaf<kOp>(typed, n, 0, count, to);
  for (int64_t at = 0; at < count; at += kBlock) {
    Combine<kOp>(typed, n, at, std::min(kBlock, count - at), to + at, scratch);
  }
}

template <typename T>
void ReduceTyped(ReduceOp op, const void* const* sources, int n, int64_t count, void* out) {
  switch (op) {
    case ReduceOp::kSum:
      return ReduceBlocks<ReduceOp::kSum, T>(sources, n, count, out);
    case ReduceOp::kMax:
      return ReduceBlocks<ReduceOp::kMax, T>(sources, n, count, out);
    case ReduceOp::kMin:
      return ReduceBlocks<ReduceOp::kMin, T>(sources, n, count, out);
  }
}

}  // namespace

bool CanReduce(core::DType dtype) {
  return dtype == core::DType::kF32 || dtype == core::DType::kF64 || dtype == core::DType::kU64 ||
         dtype == core::DType::kI64;
}

void ReduceTree(core::DType dtype, ReduceOp op, const void* const* sources, int n, int64_t count,
                void* out) {
  MOAT_CHECK(n >= 1 && n <= kMaxRanks, "a reduction takes 1 to 1024 ranks");
  if (count == 0) return;
  switch (dtype) {
    case core::DType::kF32:
      return ReduceTyped<float>(op, sources, n, count, out);
    case core::DType::kF64:
      return ReduceTyped<double>(op, sources, n, count, out);
    case core::DType::kU64:
      return ReduceTyped<uint64_t>(op, sources, n, count, out);
    case core::DType::kI64:
      return ReduceTyped<int64_t>(op, sources, n, count, out);
    default:
      MOAT_CHECK(false, "sums of this dtype are not offered");
  }
}

}  // namespace moat::comm
