// Linear layers over a tensor group, named by what happens to the data; and the norm before them.
//
// y [tokens, out] = x [tokens, in] W^T + b, W stored [out, in].
// SplitOutput: a rank holds rows of W. Forward each computes its part of y from the whole x;
// backward the parts of dx are summed over the group. SplitInput: a rank holds columns of W and its
// part of x. Forward the parts of y are summed over the group; backward each computes its part of
// dx from the whole dy. In a group of one both are the plain layer. Shoeybi et al., "Megatron-LM",
// 2019, section 3.
//
// Extents are those of this rank's part. Views are lent by the transformer.
#pragma once

#include <cstdint>

#include "comm/communicator.h"
#include "configs/model_config.h"
#include "tensor/ops.h"

namespace moat::model {

// The tensor axis as the layers see it: a sum of what each rank computed.
class TensorAxis {
 public:
  // `group` null: alone. `partial_sums` (f32, as large as the largest result) is needed in bf16
  // over several ranks only: there the parts are summed in f32 and rounded once.
  TensorAxis(comm::Communicator* group, tensor::View partial_sums)
      : group_(group), partial_sums_(partial_sums) {}

  int rank() const { return group_ ? group_->rank() : 0; }
  int size() const { return group_ ? group_->size() : 1; }

  // Collective: `product(target)` writes this rank's part; `result` becomes the sum of all parts,
  // taken in a fixed order, the same bits on all ranks.
  template <typename Product>
  void Sum(tensor::View result, tensor::Stream& stream, const Product& product) const {
    if (size() == 1) return product(result);
    const bool rounded = result.dtype != core::DType::kF32;
    const tensor::View target = rounded ? partial_sums_.Range(0, result.count) : result;
    product(target);
    SumInPlace(target, stream);
    if (rounded) tensor::Cast(target, result, stream);
  }

  // Collective: `values` become their sums over the group, in the same order as Sum's.
  void SumInPlace(tensor::View values, tensor::Stream& stream) const {
    if (size() > 1) group_->AllReduce(values, comm::ReduceOp::kSum, comm::Order::kTree, stream);
  }

 private:
  comm::Communicator* group_;
  tensor::View partial_sums_;
};

// This rank's part of one layer. Biases are empty where the model has none, gradients where it
// computes none.
struct Linear {
  tensor::View weight, bias;
  tensor::View weight_gradient, bias_gradient;
  int64_t in = 0, out = 0;
};

void SplitOutputForward(const Linear& layer, tensor::ConstView x, tensor::View y,
                        tensor::Stream& stream);
// dx must not be dy. Weight and bias gradients are replaced, or added to with `accumulate`.
void SplitOutputBackward(const Linear& layer, const TensorAxis& axis, tensor::ConstView x,
                         tensor::ConstView dy, tensor::View dx, bool accumulate,
                         tensor::Stream& stream);
void SplitInputForward(const Linear& layer, const TensorAxis& axis, tensor::ConstView x,
                       tensor::View y, tensor::Stream& stream);
void SplitInputBackward(const Linear& layer, tensor::ConstView x, tensor::ConstView dy,
                        tensor::View dx, bool accumulate, tensor::Stream& stream);

// RMSNorm or LayerNorm, whole on every tensor rank: its input and its gradient are the same there.
struct Norm {
  configs::Norm kind = configs::Norm::kRms;
  double epsilon = 0;
  tensor::View weight, bias;
  tensor::View weight_gradient, bias_gradient;
};
// What a norm leaves for its backward pass: y [tokens, width] and per-token statistics (f32).
struct NormOutput {
  tensor::View y, mean, inverse;  // mean is empty for RMSNorm
};

void NormForward(const Norm& norm, tensor::ConstView x, const NormOutput& output,
                 tensor::Stream& stream);
// dx may be dy.
void NormBackward(const Norm& norm, tensor::ConstView x, const NormOutput& output,
                  tensor::ConstView dy, tensor::View dx, bool accumulate, tensor::Stream& stream);

}  // namespace moat::model
