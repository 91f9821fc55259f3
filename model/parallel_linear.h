// Linear layers over a tensor group, named by what happens to the data; and the norm before them.
//
// y [tokens, out] = x [tokens, in] W^T + b, W stored [out, in].
// SplitOutput: a rank holds rows of W. Forward each computes its part of y from the whole x;
// backward the parts of dx are summed over the group. SplitInput: a rank holds columns of W and its
// part of x. Forward the parts of y are summed over the group; backward each computes its part of
// dx from the whole dy. In a group of one both are the plain layer. Shoeybi et al., "Megatron-LM",
// 2019, section 3.
//
// With sequence parallelism what lies between the split layers (the whole x and y above) is cut by
// slots: a rank holds tokens / size of them. Then x is gathered before a split-output layer, again
// in its backward pass, and so is dy of a split-input one; sums are scattered. Korthikanti et al.,
// "Reducing Activation Recomputation in Large Transformer Models", 2022, section 4.2.
//
// Extents are those of this rank's part. Views are lent by the transformer.
#pragma once

#include <cstdint>

#include "comm/communicator.h"
#include "configs/model_config.h"
#include "parallel/bucket_plan.h"
#include "tensor/ops.h"

namespace moat::model {

// Lent to the axis; empty where it is not needed.
struct TensorScratch {
  tensor::View partial_sums;  // f32 [tokens, width]: parts are summed in f32 and rounded once
  tensor::View whole;         // [tokens, width]: what was gathered
  tensor::View gradient;      // f32: a parameter's gradient before it is summed over ranks
};

// The tensor axis as the layers see it: sums of what each rank computed, and, with sequence
// parallelism, who holds which slots.
class TensorAxis {
 public:
  struct Options {
    comm::Communicator* group = nullptr;   // null: alone
    comm::Communicator* copies = nullptr;  // ranks that hold the same kv heads; null: this one only
    bool sequence_parallel = false;
  };
  TensorAxis(const Options& options, const TensorScratch& scratch)
      : group_(options.group),
        copies_(options.copies),
        sequence_parallel_(options.sequence_parallel && size() > 1),
        scratch_(scratch) {}

  int rank() const { return group_ ? group_->rank() : 0; }
  int size() const { return group_ ? group_->size() : 1; }
  bool sequence_parallel() const { return sequence_parallel_; }

  // Of `slots` of the whole, those between the split layers here: all, or this rank's.
  parallel::FlatRange Here(int64_t slots) const {
    if (!sequence_parallel_) return {0, slots};
    return {slots / size() * rank(), slots / size()};
  }

  // Collective: `product(target)` writes this rank's part of the sum, for all slots; `result`
  // becomes the sum of all parts for the slots that are here, taken in a fixed order, the same bits
  // on all ranks that hold them.
  template <typename Product>
  void Sum(tensor::View result, tensor::Stream& stream, const Product& product) const {
    if (size() == 1) return product(result);
    const bool rounded = result.dtype != core::DType::kF32;
    const int64_t count = sequence_parallel_ ? result.count * size() : result.count;
    const tensor::View target =
        rounded || sequence_parallel_ ? scratch_.partial_sums.Range(0, count) : result;
    product(target);
    tensor::View sum = target;
    if (sequence_parallel_) {
      sum = rounded ? target.Range(result.count * rank(), result.count) : result;
      group_->ReduceScatter(target, sum, comm::ReduceOp::kSum, comm::Order::kTree, stream);
    } else {
      SumInPlace(target, stream);
    }
    if (rounded) tensor::Cast(sum, result, stream);
  }

  // Collective: all slots of what is here; valid until the next call.
  tensor::ConstView Whole(tensor::ConstView here, tensor::Stream& stream) const {
    if (!sequence_parallel_) return here;
    const tensor::View whole = Scratch(here.count * size());
    group_->AllGather(here, whole, stream);
    return whole;
  }
  // The memory that Whole() fills.
  tensor::View Scratch(int64_t count) const { return scratch_.whole.Range(0, count); }

  // Collective: every rank's values, in rank order.
  void Gather(tensor::ConstView mine, tensor::View all, tensor::Stream& stream) const {
    group_->AllGather(mine, all, stream);
  }

  // Collective: `values` become their sums over the group, in the same order as Sum's.
  void SumInPlace(tensor::View values, tensor::Stream& stream) const {
    if (size() > 1) group_->AllReduce(values, comm::ReduceOp::kSum, comm::Order::kTree, stream);
  }

  // Returns when all that `stream` was given is done, as comm::Communicator::Finish() does: not
  // later than the group's deadline, where a peer died inside of a collective.
  void Finish(tensor::Stream& stream) const {
    if (group_ != nullptr) return group_->Finish(stream);
    stream.Synchronize();
  }

  bool has_copies() const { return copies_ != nullptr; }
  // Collective over the ranks that hold the same kv heads.
  void SumOverCopies(tensor::View values, tensor::Stream& stream) const {
    copies_->AllReduce(values, comm::ReduceOp::kSum, comm::Order::kTree, stream);
  }
  tensor::View GradientScratch(int64_t begin, int64_t count) const {
    return scratch_.gradient.Range(begin, count);
  }

 private:
  comm::Communicator* group_;
  comm::Communicator* copies_;
  bool sequence_parallel_;
  TensorScratch scratch_;
};

// What a linear layer's products in FP8 need (model/float8_linear.h), lent to it; all empty where
// its products are not. But for the scales it is shared by all layers, and large enough for any.
struct Float8Memory {
  tensor::View input, weight;                  // e4m3
  tensor::View gradient, gradient_transposed;  // e5m2, of the output
  // [1] f32. The layer's own, from the forward pass to the backward one.
  tensor::View input_scale, weight_scale;
  tensor::View gradient_scale;

  bool used() const { return !weight.empty(); }
};

// This rank's part of one layer. Biases are empty where the model has none, gradients where it
// computes none.
struct Linear {
  tensor::View weight, bias;
  tensor::View weight_gradient, bias_gradient;
  int64_t in = 0, out = 0;
  // Rows of W, the last ones, which the axis has copies of: each of those ranks has a part of their
  // gradient.
  int64_t copied = 0;
  Float8Memory float8 = {};
};

// `x` here, y of all slots.
void SplitOutputForward(const Linear& layer, const TensorAxis& axis, tensor::ConstView x,
                        tensor::View y, tensor::Stream& stream);
// y = gelu(before), `before` being the layer's own result.
void SplitOutputGeluForward(const Linear& layer, const TensorAxis& axis, tensor::ConstView x,
                            tensor::View before, tensor::View y, tensor::Stream& stream);
// dx must not be dy. Weight and bias gradients are replaced, or added to with `accumulate`.
void SplitOutputBackward(const Linear& layer, const TensorAxis& axis, tensor::ConstView x,
                         tensor::ConstView dy, tensor::View dx, bool accumulate,
                         tensor::Stream& stream);
void SplitInputForward(const Linear& layer, const TensorAxis& axis, tensor::ConstView x,
                       tensor::View y, tensor::Stream& stream);
// `dy` here, x and dx of all slots.
void SplitInputBackward(const Linear& layer, const TensorAxis& axis, tensor::ConstView x,
                        tensor::ConstView dy, tensor::View dx, bool accumulate,
                        tensor::Stream& stream);

// Where x is gelu(before): down to the gradient of `before`.
void SplitInputGeluBackward(const Linear& layer, const TensorAxis& axis, tensor::ConstView x,
                            tensor::ConstView dy, tensor::ConstView before, tensor::View dbefore,
                            bool accumulate, tensor::Stream& stream);

// RMSNorm or LayerNorm, whole on every tensor rank: its input and its gradient are the same there,
// or, with sequence parallelism, of this rank's slots, and parameter gradients are summed.
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
void NormBackward(const Norm& norm, const TensorAxis& axis, tensor::ConstView x,
                  const NormOutput& output, tensor::ConstView dy, tensor::View dx, bool accumulate,
                  tensor::Stream& stream);

}  // namespace moat::model
