// The graph of attention's gradient, as cuDNN's fused engine for Hopper wants it.
//
// Bits are equal each time because the gradients of queries are written by their product itself:
// the engine then keeps the gradients of scores. Where that product goes to an f32 buffer first,
// its kernel has reductions in memory, in whatever order blocks come by, and no workspace quadratic
// in seq_len; its notes call both deterministic. The factors of one stand where dropout's would:
// without the first the engine asks for three times the workspace. Gradients of each query head of
// a group are rounded to bf16 before they are added up: declared as f32 the same kernel is made.
#include "tensor/cuda/attention_graph.h"
#include "tensor/cuda/attention_graph_builder.h"

namespace moat::tensor::cuda {
namespace {

constexpr auto kType = CUDNN_DATA_BFLOAT16;
constexpr auto kF32 = CUDNN_DATA_FLOAT;

class GradGraph {
 public:
  // `heads` and `kv_heads` of the slice; strides are those of the whole.
  GradGraph(const AttentionShape& s, const core::AttentionSlice& slice)
      : group_(s.heads / s.kv_heads),
        strides_{s.seq_len * (s.heads + 2 * s.kv_heads) * s.head_width, s.head_width,
                 (s.heads + 2 * s.kv_heads) * s.head_width, 1},
        out_strides_{s.seq_len * s.heads * s.head_width, s.head_width, s.heads * s.head_width, 1},
        scores_{slice.rows, slice.kv_heads * group_, s.seq_len, s.seq_len},
        sums_{slice.rows, slice.kv_heads * group_, s.seq_len, 1},
        queries_{slice.rows, slice.kv_heads * group_, s.seq_len, s.head_width},
        keys_{slice.rows, slice.kv_heads, s.seq_len, s.head_width},
        q_(Stored(AttentionTensor::kQueries, queries_)),
        k_(StoredTurned(AttentionTensor::kKeys)),
        v_(StoredTurned(AttentionTensor::kValues)),
        dout_(graph_.Stored(AttentionTensor::kDout, queries_, out_strides_, kType)),
        delta_(graph_.Stored(AttentionTensor::kDelta, sums_,
                             {sums_[1] * s.seq_len, s.seq_len, 1, 1}, kF32)),
        scale_(graph_.ByValue(AttentionTensor::kScale)),
        one_(graph_.ByValue(AttentionTensor::kOne)) {}

  CudnnDescriptor Build(const AttentionShape& s) {
    SumDelta();
    const CudnnDescriptor p = Probabilities(s);
    AddProductOverGroups(p, dout_, AttentionTensor::kValuesGrad);
    const CudnnDescriptor ds = ScoreGrads(p);
    AddProductOverGroups(ds, q_, AttentionTensor::kKeysGrad);
    const CudnnDescriptor keys = graph_.Passing(keys_, strides_, kType);
    graph_.Reshape(k_, keys);
    graph_.Product(ds, keys, Stored(AttentionTensor::kQueriesGrad, queries_));
    return graph_.Take();
  }

 private:
  CudnnDescriptor Stored(AttentionTensor tensor, const Extents& extents) {
    return graph_.Stored(tensor, extents, strides_, kType);
  }
  // Keys and values as the right side of a product by rows.
  CudnnDescriptor StoredTurned(AttentionTensor tensor) {
    return graph_.Stored(tensor, {keys_[0], keys_[1], keys_[3], keys_[2]},
                         {strides_[0], strides_[1], strides_[3], strides_[2]}, kType);
  }

  // delta = the sums of dout * out over a head.
  void SumDelta() {
    const CudnnDescriptor out = graph_.Stored(AttentionTensor::kOut, queries_, out_strides_, kType);
    const CudnnDescriptor terms = graph_.Passing(queries_, out_strides_, kF32);
    const CudnnDescriptor sum = graph_.Passing(sums_);
    graph_.Each(CUDNN_POINTWISE_MUL, dout_, &out, nullptr, terms);
    graph_.Reduce(CUDNN_REDUCE_TENSOR_ADD, terms, sum);
    graph_.Each(CUDNN_POINTWISE_MUL, sum, &one_, nullptr, delta_);
  }

  CudnnDescriptor Probabilities(const AttentionShape& s) {
    const CudnnDescriptor log_sum = graph_.Stored(AttentionTensor::kLogSum, sums_,
                                                  {s.heads * s.seq_len, s.seq_len, 1, 1}, kF32);
    const CudnnDescriptor span_start =
        graph_.Stored(AttentionTensor::kSpanStart, {scores_[0], 1, s.seq_len, 1},
                      {s.seq_len, s.seq_len, 1, 1}, CUDNN_DATA_INT32);
    const CudnnDescriptor products = graph_.Passing(scores_), scores = graph_.Passing(scores_),
                          below = graph_.Passing(scores_);
    CudnnDescriptor p = graph_.Passing(scores_);
    graph_.Product(q_, k_, products);
    graph_.Each(CUDNN_POINTWISE_MUL, products, &scale_, nullptr, scores);
    graph_.Each(CUDNN_POINTWISE_SUB, scores, &log_sum, nullptr, below);
    const CudnnDescriptor masked = Masked(graph_, scores_, below, span_start);
    graph_.Each(CUDNN_POINTWISE_EXP, masked, nullptr, nullptr, p);
    return p;
  }

  // p * (dout v - delta) * scale.
  CudnnDescriptor ScoreGrads(const CudnnDescriptor& p) {
    const CudnnDescriptor dp = graph_.Passing(scores_), undropped = graph_.Passing(scores_),
                          less = graph_.Passing(scores_), weighted = graph_.Passing(scores_);
    CudnnDescriptor ds = graph_.Passing(scores_);
    graph_.Product(dout_, v_, dp);
    graph_.Each(CUDNN_POINTWISE_MUL, dp, &one_, nullptr, undropped);
    graph_.Each(CUDNN_POINTWISE_SUB, undropped, &delta_, nullptr, less);
    graph_.Each(CUDNN_POINTWISE_MUL, less, &p, nullptr, weighted);
    graph_.Each(CUDNN_POINTWISE_MUL, weighted, &scale_, nullptr, ds);
    return ds;
  }

  // The gradient of keys or values: by_query^T rows, summed over the query heads of a group.
  void AddProductOverGroups(const CudnnDescriptor& by_query, const CudnnDescriptor& rows,
                            AttentionTensor gradient) {
    const int64_t square = scores_[2] * scores_[3];
    const CudnnDescriptor turned =
        graph_.Passing(scores_, {scores_[1] * square, square, 1, scores_[3]}, kType);
    graph_.Reshape(by_query, turned);
    const CudnnDescriptor sum = Stored(gradient, keys_);
    if (group_ == 1) return graph_.Product(turned, rows, sum);
    const CudnnDescriptor each = graph_.Passing(queries_, kType);
    graph_.Product(turned, rows, each);
    graph_.Reduce(CUDNN_REDUCE_TENSOR_ADD, each, sum);
  }

  int64_t group_;
  Extents strides_, out_strides_;           // in qkv and its gradient; in out and its
  Extents scores_, sums_, queries_, keys_;  // extents; `sums_`: one for each query
  GraphBuilder graph_;
  CudnnDescriptor q_, k_, v_, dout_, delta_, scale_, one_;
};

}  // namespace

CudnnDescriptor AttentionGradGraph(const AttentionShape& shape, const core::AttentionSlice& slice) {
  return GradGraph(shape, slice).Build(shape);
}

}  // namespace moat::tensor::cuda
