// Puts a graph of cuDNN's operations together: what the graphs of both passes of attention are made
// with.
#pragma once

#include <array>
#include <vector>

#include "tensor/cuda/attention_graph.h"
#include "tensor/cuda/cudnn.h"

namespace moat::tensor::cuda {

// Of a tensor, or its strides in elements: [rows, heads, seq_len, head_width].
using Extents = std::array<int64_t, 4>;

// Tensors are values: an operation keeps what it needs of them.
class GraphBuilder {
 public:
  // With memory, found by `tensor` when the graph runs.
  CudnnDescriptor Stored(AttentionTensor tensor, const Extents& extents, const Extents& strides,
                         cudnnDataType_t type);
  CudnnDescriptor ByValue(AttentionTensor tensor);  // an f32
  // Between operations only. Contiguous unless strides are given.
  CudnnDescriptor Passing(const Extents& extents, cudnnDataType_t type = CUDNN_DATA_FLOAT);
  CudnnDescriptor Passing(const Extents& extents, const Extents& strides, cudnnDataType_t type);

  // c = a b, of the last two dimensions. Heads of b may be fewer, each for a group of a's.
  void Product(const CudnnDescriptor& a, const CudnnDescriptor& b, const CudnnDescriptor& c);
  // Over the dimensions in which y has one element, or a group's.
  void Reduce(cudnnReduceTensorOp_t mode, const CudnnDescriptor& x, const CudnnDescriptor& y);
  // The same elements, as y's strides have them.
  void Reshape(const CudnnDescriptor& x, const CudnnDescriptor& y);
  // y = mode(x), mode(x, b), or of a selection t ? x : b.
  void Each(cudnnPointwiseMode_t mode, const CudnnDescriptor& x, const CudnnDescriptor* b,
            const CudnnDescriptor* t, const CudnnDescriptor& y);
  // y = the index along `axis` of each element of `of`, as i32.
  void Index(int64_t axis, const CudnnDescriptor& of, const CudnnDescriptor& y);
  void NotBelow(const CudnnDescriptor& x, const CudnnDescriptor& b, const CudnnDescriptor& y);

  CudnnDescriptor Take();  // the operation graph, finished

 private:
  void Each(const CudnnDescriptor& kind, const CudnnDescriptor& x, const CudnnDescriptor* b,
            const CudnnDescriptor* t, const CudnnDescriptor& y);
  void Add(CudnnDescriptor operation);

  int64_t next_ = 100;  // numbers of tensors between operations
  std::vector<CudnnDescriptor> operations_;
};

// Scores where they are seen, else AttentionTensor::kNothing: later keys and those before a query's
// span are not. cuDNN's engines want one selection after the other: both conditions joined by an
// "and" are refused (9.19).
CudnnDescriptor Masked(GraphBuilder& graph, const Extents& all, const CudnnDescriptor& scores,
                       const CudnnDescriptor& span_start);

}  // namespace moat::tensor::cuda
