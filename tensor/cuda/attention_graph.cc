// The graph of attention.
//
// Extents are [rows, heads, seq_len, head_width]. The library's engines want the mask as one
// selection after the other: both conditions joined by an "and" are refused (9.19).
#include "tensor/cuda/attention_graph.h"

#include <array>
#include <utility>

namespace moat::tensor::cuda {
namespace {

using Extents = std::array<int64_t, 4>;

class GraphBuilder {
 public:
  // With memory; `strides` in elements.
  CudnnDescriptor Stored(AttentionTensor tensor, const Extents& extents, const Extents& strides,
                         cudnnDataType_t type, bool by_value = false) {
    return Tensor(static_cast<int64_t>(tensor), extents, strides, type, false, by_value);
  }
  CudnnDescriptor ByValue(AttentionTensor tensor) {
    return Stored(tensor, {1, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_FLOAT, true);
  }
  // Between operations only.
  CudnnDescriptor Passing(const Extents& e, cudnnDataType_t type = CUDNN_DATA_FLOAT) {
    return Tensor(next_++, e, {e[1] * e[2] * e[3], e[2] * e[3], e[3], 1}, type, true, false);
  }

  void Product(const CudnnDescriptor& a, const CudnnDescriptor& b, const CudnnDescriptor& c) {
    CudnnDescriptor kind(CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    kind.Set(CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT);
    kind.Finalize();
    CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    operation.Set(CUDNN_ATTR_OPERATION_MATMUL_ADESC, a);
    operation.Set(CUDNN_ATTR_OPERATION_MATMUL_BDESC, b);
    operation.Set(CUDNN_ATTR_OPERATION_MATMUL_CDESC, c);
    operation.Set(CUDNN_ATTR_OPERATION_MATMUL_DESC, kind);
    Add(std::move(operation));
  }

  void Reduce(cudnnReduceTensorOp_t mode, const CudnnDescriptor& x, const CudnnDescriptor& y) {
    CudnnDescriptor kind(CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    kind.Set(CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &mode);
    kind.Set(CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
    kind.Finalize();
    CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    operation.Set(CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    operation.Set(CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
    operation.Set(CUDNN_ATTR_OPERATION_REDUCTION_DESC, kind);
    Add(std::move(operation));
  }

  // y = mode(x), mode(x, b), or of a selection t ? x : b.
  void Each(cudnnPointwiseMode_t mode, const CudnnDescriptor& x, const CudnnDescriptor* b,
            const CudnnDescriptor* t, const CudnnDescriptor& y) {
    Each(Kind(mode, CUDNN_DATA_FLOAT), x, b, t, y);
  }
  void Index(int64_t axis, const CudnnDescriptor& of, const CudnnDescriptor& y) {
    CudnnDescriptor kind = Described(CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_INT32);
    kind.Set(CUDNN_ATTR_POINTWISE_AXIS, axis);
    kind.Finalize();
    Each(kind, of, nullptr, nullptr, y);
  }
  void NotBelow(const CudnnDescriptor& x, const CudnnDescriptor& b, const CudnnDescriptor& y) {
    Each(Kind(CUDNN_POINTWISE_CMP_GE, CUDNN_DATA_INT32), x, &b, nullptr, y);
  }

  CudnnDescriptor Take() {
    CudnnDescriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    graph.Set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations_);
    graph.Finalize();
    return graph;
  }

 private:
  static CudnnDescriptor Tensor(int64_t id, const Extents& extents, const Extents& strides,
                                cudnnDataType_t type, bool passing, bool by_value) {
    constexpr int64_t kAlignment = 16;
    CudnnDescriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    tensor.Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
    tensor.Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment);
    tensor.Set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
    tensor.Set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const int64_t>(extents));
    tensor.Set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const int64_t>(strides));
    tensor.Set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, passing);
    tensor.Set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, by_value);
    tensor.Finalize();
    return tensor;
  }
  static CudnnDescriptor Described(cudnnPointwiseMode_t mode, cudnnDataType_t type) {
    CudnnDescriptor kind(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    kind.Set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    kind.Set(CUDNN_ATTR_POINTWISE_MATH_PREC, type);
    return kind;
  }
  static CudnnDescriptor Kind(cudnnPointwiseMode_t mode, cudnnDataType_t type) {
    CudnnDescriptor kind = Described(mode, type);
    kind.Finalize();
    return kind;
  }
  void Each(const CudnnDescriptor& kind, const CudnnDescriptor& x, const CudnnDescriptor* b,
            const CudnnDescriptor* t, const CudnnDescriptor& y) {
    CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind);
    operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (b != nullptr) operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
    if (t != nullptr) operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, *t);
    operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    Add(std::move(operation));
  }
  void Add(CudnnDescriptor operation) {
    operation.Finalize();
    operations_.push_back(std::move(operation));
  }

  int64_t next_ = 100;  // numbers of tensors between operations
  std::vector<CudnnDescriptor> operations_;
};

// Scores where they are seen: later keys and those before a query's span are not.
CudnnDescriptor Masked(GraphBuilder& graph, const Extents& all, const CudnnDescriptor& scores,
                       const CudnnDescriptor& span_start) {
  const CudnnDescriptor nothing = graph.ByValue(AttentionTensor::kNothing);
  const CudnnDescriptor query = graph.Passing(all, CUDNN_DATA_INT32);
  const CudnnDescriptor key = graph.Passing(all, CUDNN_DATA_INT32);
  const CudnnDescriptor not_later = graph.Passing(all, CUDNN_DATA_BOOLEAN);
  const CudnnDescriptor causal = graph.Passing(all);
  graph.Index(2, scores, query);
  graph.Index(3, scores, key);
  graph.NotBelow(query, key, not_later);
  graph.Each(CUDNN_POINTWISE_BINARY_SELECT, scores, &nothing, &not_later, causal);
  const CudnnDescriptor again = graph.Passing(all, CUDNN_DATA_INT32);
  const CudnnDescriptor in_span = graph.Passing(all, CUDNN_DATA_BOOLEAN);
  CudnnDescriptor masked = graph.Passing(all);
  graph.Index(3, causal, again);
  graph.NotBelow(again, span_start, in_span);
  graph.Each(CUDNN_POINTWISE_BINARY_SELECT, causal, &nothing, &in_span, masked);
  return masked;
}

// Probabilities in bf16, as they go into a product; log_sum is written.
CudnnDescriptor Softmax(GraphBuilder& graph, const Extents& all, const CudnnDescriptor& scores,
                        const CudnnDescriptor& log_sum) {
  const Extents each_query = {all[0], all[1], all[2], 1};
  const CudnnDescriptor top = graph.Passing(each_query), sum = graph.Passing(each_query),
                        log = graph.Passing(each_query);
  const CudnnDescriptor below = graph.Passing(all), term = graph.Passing(all);
  CudnnDescriptor probabilities = graph.Passing(all, CUDNN_DATA_BFLOAT16);
  graph.Reduce(CUDNN_REDUCE_TENSOR_MAX, scores, top);
  graph.Each(CUDNN_POINTWISE_SUB, scores, &top, nullptr, below);
  graph.Each(CUDNN_POINTWISE_EXP, below, nullptr, nullptr, term);
  graph.Reduce(CUDNN_REDUCE_TENSOR_ADD, term, sum);
  graph.Each(CUDNN_POINTWISE_LOG, sum, nullptr, nullptr, log);
  graph.Each(CUDNN_POINTWISE_ADD, top, &log, nullptr, log_sum);
  graph.Each(CUDNN_POINTWISE_DIV, term, &sum, nullptr, probabilities);
  return probabilities;
}

}  // namespace

CudnnDescriptor AttentionGraph(const AttentionShape& s) {
  const int64_t t = s.seq_len, w = s.head_width, stride = (s.heads + 2 * s.kv_heads) * w;
  constexpr auto kType = CUDNN_DATA_BFLOAT16;
  GraphBuilder graph;
  const CudnnDescriptor queries = graph.Stored(AttentionTensor::kQueries, {s.rows, s.heads, t, w},
                                               {t * stride, w, stride, 1}, kType);
  const CudnnDescriptor keys = graph.Stored(AttentionTensor::kKeys, {s.rows, s.kv_heads, w, t},
                                            {t * stride, w, 1, stride}, kType);
  const CudnnDescriptor values = graph.Stored(AttentionTensor::kValues, {s.rows, s.kv_heads, t, w},
                                              {t * stride, w, stride, 1}, kType);
  const CudnnDescriptor span_start =
      graph.Stored(AttentionTensor::kSpanStart, {s.rows, 1, t, 1}, {t, t, 1, 1}, CUDNN_DATA_INT32);
  const CudnnDescriptor out = graph.Stored(AttentionTensor::kOut, {s.rows, s.heads, t, w},
                                           {t * s.heads * w, w, s.heads * w, 1}, kType);
  const CudnnDescriptor log_sum = graph.Stored(AttentionTensor::kLogSum, {s.rows, s.heads, t, 1},
                                               {s.heads * t, t, 1, 1}, CUDNN_DATA_FLOAT);
  const Extents all = {s.rows, s.heads, t, t};
  const CudnnDescriptor products = graph.Passing(all), scores = graph.Passing(all);
  const CudnnDescriptor scale = graph.ByValue(AttentionTensor::kScale);
  graph.Product(queries, keys, products);
  graph.Each(CUDNN_POINTWISE_MUL, products, &scale, nullptr, scores);
  const CudnnDescriptor masked = Masked(graph, all, scores, span_start);
  const CudnnDescriptor probabilities = Softmax(graph, all, masked, log_sum);
  graph.Product(probabilities, values, out);
  return graph.Take();
}

}  // namespace moat::tensor::cuda
