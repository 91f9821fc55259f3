// Linear layers whose three products are FP8: --matmul_dtype=fp8.
//
// The usual recipe (Micikevicius et al., "FP8 Formats for Deep Learning", 2022, arXiv:2209.05433,
// section 3): inputs and weights in e4m3, gradients of outputs, whose range is wide, in e5m2; sums
// and weight gradients in f32; all between the products stays bf16. A tensor has one scale, a power
// of two, from the numbers it has now and not from those of earlier steps: there is no history to
// save, and a step depends on its weights and samples only. It costs one more reading.
//
// Scales are of what a rank holds: its part of a weight, and of inputs and gradients where they are
// split. Ranks of a tensor group need not agree on them, since each product is of one rank's
// operands; so nothing is sent, and bits depend on tp, as they do anyway.
//
// A layer's calls come in the order of the passes: the product forward; backward the parameter
// gradients, then the input's gradient, of the same dy. Codes live from one call to the next only
// there: between the two backward ones no other layer's may come.
#pragma once

#include "model/parallel_linear.h"

namespace moat::model {

// y [rows, out] = x W^T + bias (empty: none); y is f32 or bf16. Keeps the scales of x and W.
void Float8Product(const Linear& layer, tensor::ConstView x, tensor::ConstView bias, tensor::View y,
                   tensor::Stream& stream);
// Of weight and bias (summed from dy itself, in f32), as ParameterGradients. Keeps the codes of dy.
void Float8ParameterGradients(const Linear& layer, tensor::ConstView x, tensor::ConstView dy,
                              bool accumulate, tensor::Stream& stream);
// dx [rows, in] = dy W, by the codes of dy that the call before left.
void Float8InputGradient(const Linear& layer, tensor::ConstView dy, tensor::View dx,
                         tensor::Stream& stream);

}  // namespace moat::model
