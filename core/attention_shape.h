// The extents of attention, and the scratch memory it wants: one sum for the op that is given it
// and for the plan of a model's memory. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "core/device_kind.h"
#include "core/dtype.h"

namespace moat::core {

struct AttentionShape {
  int64_t rows;      // sequences
  int64_t seq_len;   // slots of each
  int64_t heads;     // query heads
  int64_t kv_heads;  // divides heads
  int64_t head_width;
  int64_t tile;  // query slots handled at a time
};

// Heads that a GPU library takes are multiples of this wide: 16 bytes of bf16.
inline constexpr int64_t kLibraryHeadStep = 8;

// What a GPU library's backward pass is given at once: whole sequences, or some key/value heads of
// one, with the query heads of their groups.
struct AttentionSlice {
  int64_t rows, kv_heads;  // 0, 0: the shape is none for the library
};

// Its bits are equal each time only where it keeps the gradients of all scores, quadratic in
// seq_len (tensor/cuda/attention_grad_graph.cc): this much of them at once.
inline constexpr int64_t kMostSliceBytes = int64_t{512} << 20;

// As much at once as kMostSliceBytes allow. A function of the shape alone: what memory is free must
// not decide about bits.
AttentionSlice GradSliceOf(const AttentionShape& shape);

// Slices that make up the shape, none larger than GradSliceOf, in the order of rows; empty where
// that is none.
struct PlacedSlice {
  int64_t row, kv_head;  // its first
  AttentionSlice slice;
};
std::vector<PlacedSlice> GradSlices(const AttentionShape& shape);

// At least what the library asks for, and the sums of dout * out.
int64_t GradSliceBytes(const AttentionShape& shape, const AttentionSlice& slice);

// In f32 elements, for both passes. On a CPU: per thread two blocks of scores [tile, seq_len], the
// gradients of one head's keys and values in f32, and two sums per query of a tile, whatever the
// number of rows and heads. On a GPU: the largest slice, where a library may take the shape.
// Fewer rows never want more.
int64_t AttentionWorkspace(const AttentionShape& shape, DType dtype, DeviceKind device,
                           int threads);

}  // namespace moat::core
