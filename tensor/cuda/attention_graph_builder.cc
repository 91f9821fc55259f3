// Graphs of cuDNN's operations, and the mask that both passes of attention have.
#include "tensor/cuda/attention_graph_builder.h"

#include <utility>

namespace moat::tensor::cuda {
namespace {

Extents Contiguous(const Extents& e) { return {e[1] * e[2] * e[3], e[2] * e[3], e[3], 1}; }

struct Place {
  bool passing, by_value;
};

CudnnDescriptor Tensor(int64_t id, const Extents& extents, const Extents& strides,
                       cudnnDataType_t type, const Place& place) {
  // A slice's sums and spans begin anywhere; heads lie where 16 bytes are read at a time.
  const int64_t alignment = type == CUDNN_DATA_BFLOAT16 ? 16 : 4;
  CudnnDescriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.Set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  tensor.Set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment);
  tensor.Set(CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  tensor.Set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const int64_t>(extents));
  tensor.Set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const int64_t>(strides));
  tensor.Set(CUDNN_ATTR_TENSOR_IS_VIRTUAL, place.passing);
  tensor.Set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, place.by_value);
  tensor.Finalize();
  return tensor;
}

CudnnDescriptor Described(cudnnPointwiseMode_t mode, cudnnDataType_t type) {
  CudnnDescriptor kind(CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  kind.Set(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  kind.Set(CUDNN_ATTR_POINTWISE_MATH_PREC, type);
  return kind;
}

CudnnDescriptor Kind(cudnnPointwiseMode_t mode, cudnnDataType_t type) {
  CudnnDescriptor kind = Described(mode, type);
  kind.Finalize();
  return kind;
}

}  // namespace

CudnnDescriptor GraphBuilder::Stored(AttentionTensor tensor, const Extents& extents,
                                     const Extents& strides, cudnnDataType_t type) {
  return Tensor(static_cast<int64_t>(tensor), extents, strides, type, {false, false});
}

CudnnDescriptor GraphBuilder::ByValue(AttentionTensor tensor) {
  return Tensor(static_cast<int64_t>(tensor), {1, 1, 1, 1}, {1, 1, 1, 1}, CUDNN_DATA_FLOAT,
                {false, true});
}

CudnnDescriptor GraphBuilder::Passing(const Extents& extents, cudnnDataType_t type) {
  return Passing(extents, Contiguous(extents), type);
}

CudnnDescriptor GraphBuilder::Passing(const Extents& extents, const Extents& strides,
                                      cudnnDataType_t type) {
  return Tensor(next_++, extents, strides, type, {true, false});
}

void GraphBuilder::Product(const CudnnDescriptor& a, const CudnnDescriptor& b,
                           const CudnnDescriptor& c) {
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

void GraphBuilder::Reduce(cudnnReduceTensorOp_t mode, const CudnnDescriptor& x,
                          const CudnnDescriptor& y) {
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

void GraphBuilder::Reshape(const CudnnDescriptor& x, const CudnnDescriptor& y) {
  CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  operation.Set(CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
  operation.Set(CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
  Add(std::move(operation));
}

void GraphBuilder::Each(cudnnPointwiseMode_t mode, const CudnnDescriptor& x,
                        const CudnnDescriptor* b, const CudnnDescriptor* t,
                        const CudnnDescriptor& y) {
  Each(Kind(mode, CUDNN_DATA_FLOAT), x, b, t, y);
}

void GraphBuilder::Index(int64_t axis, const CudnnDescriptor& of, const CudnnDescriptor& y) {
  CudnnDescriptor kind = Described(CUDNN_POINTWISE_GEN_INDEX, CUDNN_DATA_INT32);
  kind.Set(CUDNN_ATTR_POINTWISE_AXIS, axis);
  kind.Finalize();
  Each(kind, of, nullptr, nullptr, y);
}

void GraphBuilder::NotBelow(const CudnnDescriptor& x, const CudnnDescriptor& b,
                            const CudnnDescriptor& y) {
  Each(Kind(CUDNN_POINTWISE_CMP_GE, CUDNN_DATA_INT32), x, &b, nullptr, y);
}

void GraphBuilder::Each(const CudnnDescriptor& kind, const CudnnDescriptor& x,
                        const CudnnDescriptor* b, const CudnnDescriptor* t,
                        const CudnnDescriptor& y) {
  CudnnDescriptor operation(CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind);
  operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  if (b != nullptr) operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, *b);
  if (t != nullptr) operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_TDESC, *t);
  operation.Set(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  Add(std::move(operation));
}

void GraphBuilder::Add(CudnnDescriptor operation) {
  operation.Finalize();
  operations_.push_back(std::move(operation));
}

CudnnDescriptor GraphBuilder::Take() {
  CudnnDescriptor graph(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  graph.Set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operations_);
  graph.Finalize();
  return graph;
}

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

}  // namespace moat::tensor::cuda
