// The graph of attention.
//
// Extents are [rows, heads, seq_len, head_width].
#include "tensor/cuda/attention_graph.h"

#include "tensor/cuda/attention_graph_builder.h"

namespace moat::tensor::cuda {
namespace {

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
