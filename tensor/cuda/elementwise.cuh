// Kernels whose threads have nothing to do with each other: a term says what happens to kStep
// neighbouring elements.
//
// Terms are structs of pointers with `template <int kStep> void Apply(...) const`. kStep is that of
// the element type's 16 bytes where all memory allows it, else 1.
#pragma once

#include <cstdint>

#include "tensor/cuda/element.cuh"
#include "tensor/cuda/launch.h"

namespace moat::tensor::cuda {

inline constexpr int kElementThreads = 256;

template <int kStep, typename Term>
__global__ void FlatKernel(int64_t count, Term term) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kElementThreads + threadIdx.x) * kStep;
  if (i + kStep <= count) {
    term.template Apply<kStep>(i);
  } else {
    for (int64_t at = i; at < count; ++at) term.template Apply<1>(at);
  }
}

// Apply(i) for all of [0, count). `wide`: packs of kVector<T> may be taken.
template <typename T, typename Term>
void ForEach(const char* what, const Stream& stream, int64_t count, bool wide, const Term& term) {
  const auto launch = [&](auto kernel, int step) {
    Launch(what, stream, kernel, Blocks(count, int64_t{kElementThreads} * step), kElementThreads, 0,
           count, term);
  };
  if (wide) {
    launch(FlatKernel<kVector<T>, Term>, kVector<T>);
  } else {
    launch(FlatKernel<1, Term>, 1);
  }
}

template <int kStep, typename Term>
__global__ void RowsKernel(int64_t width, Term term) {
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * kElementThreads + threadIdx.x) * kStep;
  if (column < width) term.template Apply<kStep>(static_cast<int64_t>(blockIdx.x), column);
}

// Apply(row, column) for all of a matrix. `wide`: packs of kVector<T> may be taken, which no row
// cuts.
template <typename T, typename Term>
void ForEachOfRows(const char* what, const Stream& stream, int64_t rows, int64_t width, bool wide,
                   const Term& term) {
  const auto launch = [&](auto kernel, int step) {
    Launch(what, stream, kernel,
           dim3(static_cast<unsigned>(rows), Blocks(width, int64_t{kElementThreads} * step)),
           kElementThreads, 0, width, term);
  };
  if (wide && width % kVector<T> == 0) {
    launch(RowsKernel<kVector<T>, Term>, kVector<T>);
  } else {
    launch(RowsKernel<1, Term>, 1);
  }
}

}  // namespace moat::tensor::cuda
