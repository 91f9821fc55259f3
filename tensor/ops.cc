// The ops: validation, once for every device; then the kernel.
#include "tensor/ops.h"

#include <algorithm>

#include "tensor/operands.h"

namespace moat::tensor {

void MatMul(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, ConstView a, ConstView b,
            ConstView bias, View c, bool accumulate, Stream& stream) {
  Expect(a, m * k, a.dtype, "a");
  Expect(b, k * n, a.dtype, "b");
  Expect(c, m * n, c.dtype == kF32 ? kF32 : a.dtype, "c");
  if (!bias.empty()) {
    Expect(bias, n, a.dtype, "bias");
    MOAT_CHECK(!accumulate, "a bias is not added to a sum that goes on");
  }
  if (m == 0 || n == 0) return;
  MOAT_CHECK(k > 0, "an empty sum");
  Kernels(a, stream).matmul(trans_a, trans_b, m, n, k, a.data, b.data, OrNull(bias), c.data,
                            c.dtype == kF32, accumulate, stream);
}

void BiasGrad(ConstView dy, View dbias, bool accumulate, Stream& stream) {
  Expect(dbias, dbias.count, kF32, "dbias");
  const int64_t rows = dy.count / dbias.count;
  Expect(dy, rows * dbias.count, dy.dtype, "dy");
  Kernels(dy, stream).bias_grad(rows, dbias.count, dy.data, Floats(dbias), accumulate, stream);
}

void Embed(ConstView ids, ConstView table, int64_t first, View y, int64_t width, bool accumulate,
           Stream& stream) {
  Expect(ids, ids.count, kI32, "ids");
  Expect(table, table.count / width * width, table.dtype, "table");
  Expect(y, ids.count * width, table.dtype, "y");
  Kernels(table, stream)
      .embed(ids.count, width, first, table.count / width, Ints(ids), table.data, y.data,
             accumulate, stream);
}

void EmbedGrad(ConstView ids, ConstView dy, View dtable, int64_t first, int64_t width,
               Stream& stream) {
  Expect(ids, ids.count, kI32, "ids");
  Expect(dy, ids.count * width, dy.dtype, "dy");
  Expect(dtable, dtable.count / width * width, kF32, "dtable");
  Kernels(dy, stream)
      .embed_grad(ids.count, width, first, dtable.count / width, Ints(ids), dy.data, Floats(dtable),
                  stream);
}

void RmsNorm(ConstView x, ConstView weight, View y, View inverse_rms, double epsilon,
             Stream& stream) {
  const int64_t width = weight.count;
  const int64_t rows = x.count / width;
  Expect(x, rows * width, weight.dtype, "x");
  Expect(y, x.count, x.dtype, "y");
  Expect(inverse_rms, rows, kF32, "inverse_rms");
  Kernels(x, stream).rms_norm(rows, width, static_cast<float>(epsilon), x.data, weight.data, y.data,
                              Floats(inverse_rms), stream);
}

void RmsNormGrad(ConstView x, ConstView weight, ConstView inverse_rms, ConstView dy, View dx,
                 View dweight, bool accumulate, Stream& stream) {
  const int64_t width = weight.count;
  const int64_t rows = x.count / width;
  Expect(x, rows * width, weight.dtype, "x");
  Expect(dy, x.count, x.dtype, "dy");
  Expect(dx, x.count, x.dtype, "dx");
  Expect(inverse_rms, rows, kF32, "inverse_rms");
  Expect(dweight, width, kF32, "dweight");
  Kernels(x, stream).rms_norm_grad(rows, width, x.data, weight.data, Floats(inverse_rms), dy.data,
                                   dx.data, Floats(dweight), accumulate, stream);
}

void LayerNorm(ConstView x, ConstView weight, ConstView bias, View y, View mean, View inverse,
               double epsilon, Stream& stream) {
  const int64_t width = weight.count;
  const int64_t rows = x.count / width;
  Expect(x, rows * width, weight.dtype, "x");
  Expect(bias, bias.empty() ? 0 : width, bias.empty() ? bias.dtype : x.dtype, "bias");
  Expect(y, x.count, x.dtype, "y");
  Expect(mean, rows, kF32, "mean");
  Expect(inverse, rows, kF32, "inverse");
  Kernels(x, stream).layer_norm(rows, width, static_cast<float>(epsilon), x.data, weight.data,
                                OrNull(bias), y.data, Floats(mean), Floats(inverse), stream);
}

void LayerNormGrad(ConstView x, ConstView weight, ConstView mean, ConstView inverse, ConstView dy,
                   View dx, View dweight, View dbias, bool accumulate, Stream& stream) {
  const int64_t width = weight.count;
  const int64_t rows = x.count / width;
  Expect(x, rows * width, weight.dtype, "x");
  Expect(dy, x.count, x.dtype, "dy");
  Expect(dx, x.count, x.dtype, "dx");
  Expect(mean, rows, kF32, "mean");
  Expect(inverse, rows, kF32, "inverse");
  Expect(dweight, width, kF32, "dweight");
  if (!dbias.empty()) Expect(dbias, width, kF32, "dbias");
  Kernels(x, stream).layer_norm_grad(rows, width, x.data, weight.data, Floats(mean),
                                     Floats(inverse), dy.data, dx.data, Floats(dweight),
                                     dbias.empty() ? nullptr : Floats(dbias), accumulate, stream);
}

void Rotate(View x, ConstView positions, int64_t heads, int64_t head_width, int64_t stride,
            double base, bool inverse, Stream& stream) {
  Expect(positions, positions.count, kI32, "positions");
  Expect(x, positions.count * stride, x.dtype, "x");
  MOAT_CHECK(head_width % 2 == 0 && heads * head_width <= stride,
             "rotary heads do not fit in a row");
  Kernels(x, stream).rotate(positions.count, heads, head_width, stride, Ints(positions), base,
                            inverse, x.data, stream);
}

namespace {

void ExpectAttention(const AttentionShape& s, ConstView span_start, ConstView qkv, ConstView out,
                     ConstView log_sum, ConstView workspace, const Stream& stream) {
  const int64_t tokens = s.rows * s.seq_len;
  MOAT_CHECK(s.heads % s.kv_heads == 0 && s.tile > 0, "attention shape");
  Expect(span_start, tokens, kI32, "span_start");
  Expect(qkv, tokens * (s.heads + 2 * s.kv_heads) * s.head_width, qkv.dtype, "qkv");
  Expect(out, tokens * s.heads * s.head_width, qkv.dtype, "out");
  Expect(log_sum, tokens * s.heads, kF32, "log_sum");
  const int64_t wanted = core::AttentionWorkspace(s, qkv.dtype, stream.device(), stream.threads());
  Expect(workspace, std::max(workspace.count, wanted), kF32, "workspace");
}

}  // namespace

void Attention(const AttentionShape& shape, ConstView span_start, ConstView qkv, View out,
               View log_sum, View workspace, Stream& stream) {
  ExpectAttention(shape, span_start, qkv, out, log_sum, workspace, stream);
  Kernels(qkv, stream)
      .attention(shape, Ints(span_start), qkv.data, out.data, Floats(log_sum), Floats(workspace),
                 stream);
}

void CheckAttention(const AttentionShape& shape, core::DType dtype, bool with_gradient,
                    Stream& stream) {
  const KernelTable& kernels = DeviceOf(stream.device()).kernels(dtype);
  if (kernels.check_attention != nullptr) kernels.check_attention(shape, with_gradient, stream);
}

void AttentionGrad(const AttentionShape& shape, ConstView span_start, ConstView qkv, ConstView out,
                   ConstView log_sum, ConstView dout, View dqkv, View workspace, Stream& stream) {
  ExpectAttention(shape, span_start, qkv, out, log_sum, workspace, stream);
  Expect(dout, out.count, out.dtype, "dout");
  Expect(dqkv, qkv.count, qkv.dtype, "dqkv");
  Kernels(qkv, stream)
      .attention_grad(shape, Ints(span_start), qkv.data, out.data, Floats(log_sum), dout.data,
                      dqkv.data, Floats(workspace), stream);
}

void AttentionCached(ConstView q, ConstView keys, ConstView values, View out, int64_t heads,
                     int64_t kv_heads, int64_t head_width, Stream& stream) {
  const int64_t length = keys.count / (kv_heads * head_width);
  Expect(q, heads * head_width, q.dtype, "q");
  Expect(keys, length * kv_heads * head_width, q.dtype, "keys");
  Expect(values, keys.count, q.dtype, "values");
  Expect(out, q.count, q.dtype, "out");
  MOAT_CHECK(length > 0, "an empty cache");
  Kernels(q, stream).attention_cached(heads, kv_heads, head_width, length, q.data, keys.data,
                                      values.data, out.data, stream);
}

void SwiGlu(ConstView gate_up, View y, int64_t width, Stream& stream) {
  const int64_t rows = y.count / width;
  Expect(y, rows * width, gate_up.dtype, "y");
  Expect(gate_up, 2 * y.count, gate_up.dtype, "gate_up");
  Kernels(gate_up, stream).swiglu(rows, width, gate_up.data, y.data, stream);
}

void SwiGluGrad(ConstView gate_up, ConstView dy, View dgate_up, int64_t width, Stream& stream) {
  const int64_t rows = dy.count / width;
  Expect(dy, rows * width, gate_up.dtype, "dy");
  Expect(gate_up, 2 * dy.count, gate_up.dtype, "gate_up");
  Expect(dgate_up, gate_up.count, gate_up.dtype, "dgate_up");
  Kernels(gate_up, stream).swiglu_grad(rows, width, gate_up.data, dy.data, dgate_up.data, stream);
}

void Gelu(ConstView x, View y, Stream& stream) {
  Expect(y, x.count, x.dtype, "y");
  Kernels(x, stream).gelu(x.count, x.data, y.data, stream);
}

void GeluGrad(ConstView x, ConstView dy, View dx, Stream& stream) {
  Expect(dy, x.count, x.dtype, "dy");
  Expect(dx, x.count, x.dtype, "dx");
  Kernels(x, stream).gelu_grad(x.count, x.data, dy.data, dx.data, stream);
}

void AddDropout(ConstView x, ConstView branch, View y, int64_t width, const DropoutKey& dropout,
                Stream& stream) {
  Expect(branch, x.count, x.dtype, "branch");
  Expect(y, x.count, x.dtype, "y");
  Kernels(x, stream).add_dropout(x.count / width, width, x.data, branch.data, y.data, dropout,
                                 stream);
}

void Dropout(View x, int64_t width, const DropoutKey& dropout, Stream& stream) {
  if (dropout.rate == 0) return;
  Kernels(x, stream).dropout(x.count / width, width, x.data, dropout, stream);
}

void Add(ConstView x, View y, Stream& stream) {
  Expect(y, x.count, x.dtype, "y");
  Kernels(x, stream).add(x.count, x.data, y.data, stream);
}

void Copy(ConstView x, View y, Stream& stream) {
  Expect(y, x.count, x.dtype, "y");
  const auto reachable = [&](core::DeviceKind device) {
    return device == stream.device() || device == core::DeviceKind::kCpu;
  };
  MOAT_CHECK(reachable(x.device) && reachable(y.device), "memory of another device");
  if (x.empty()) return;
  DeviceOf(stream.device()).copy(x.data, y.data, x.bytes(), stream);
}

void Zero(View y, Stream& stream) {
  MOAT_CHECK(y.device == stream.device(), "memory of another device than the stream's");
  if (!y.empty()) DeviceOf(y.device).zero(y.data, y.bytes(), stream);
}

void Cast(ConstView x, View y, Stream& stream) {
  Expect(y, x.count, y.dtype, "y");
  if (x.dtype == y.dtype) return Copy(x, y, stream);
  MOAT_CHECK(x.dtype == kF32 || y.dtype == kF32, "casts are from or to f32");
  if (y.dtype == kF32) {
    Kernels(x, stream).to_f32(x.count, x.data, Floats(y), stream);
  } else {
    Kernels(y, stream).from_f32(x.count, Floats(x), y.data, stream);
  }
}

namespace {

// `logits` [rows, any]; `dlogits` as large, or empty.
void ExpectLoss(int64_t rows, ConstView logits, ConstView targets, ConstView weights, View losses,
                View dlogits) {
  Expect(logits, logits.count / rows * rows, kF32, "logits");
  if (!dlogits.empty()) Expect(dlogits, logits.count, dlogits.dtype, "dlogits");
  Expect(targets, rows, kI32, "targets");
  Expect(weights, rows, kF32, "weights");
  Expect(losses, rows, kF32, "losses");
}

}  // namespace

void CrossEntropy(ConstView logits, ConstView targets, ConstView weights, View losses, View dlogits,
                  Stream& stream) {
  const int64_t rows = targets.count;
  if (rows == 0) return;
  const int64_t vocab = logits.count / rows;
  ExpectLoss(rows, logits, targets, weights, losses, dlogits);
  Kernels(dlogits.empty() ? logits : dlogits, stream)
      .cross_entropy(rows, vocab, Floats(logits), Ints(targets), Floats(weights), Floats(losses),
                     OrNull(dlogits), stream);
}

void PartStatistics(ConstView logits, ConstView targets, int64_t first, View statistics,
                    Stream& stream) {
  const int64_t rows = targets.count;
  if (rows == 0) return;
  const int64_t part = logits.count / rows;
  MOAT_CHECK(part > 0, "an empty part of the vocabulary");
  Expect(logits, rows * part, kF32, "logits");
  Expect(targets, rows, kI32, "targets");
  Expect(statistics, rows * kPartStatistics, kF32, "statistics");
  Kernels(logits, stream)
      .part_statistics(rows, part, first, Floats(logits), Ints(targets), Floats(statistics),
                       stream);
}

void CrossEntropyOfPart(ConstView statistics, ConstView logits, ConstView targets, int64_t first,
                        ConstView weights, View losses, View dlogits, Stream& stream) {
  const int64_t rows = targets.count;
  if (rows == 0) return;
  const int64_t part = logits.count / rows, parts = statistics.count / (rows * kPartStatistics);
  Expect(statistics, parts * rows * kPartStatistics, kF32, "statistics");
  ExpectLoss(rows, logits, targets, weights, losses, dlogits);
  Kernels(dlogits.empty() ? logits : dlogits, stream)
      .cross_entropy_of_part(parts, rows, part, first, Floats(statistics), Floats(logits),
                             Ints(targets), Floats(weights), Floats(losses), OrNull(dlogits),
                             stream);
}

void AdamW(const AdamWStep& step, ConstView gradient, View moment1, View moment2, View weight,
           View rounded, Stream& stream) {
  Expect(gradient, weight.count, kF32, "gradient");
  Expect(moment1, weight.count, kF32, "moment1");
  Expect(moment2, weight.count, kF32, "moment2");
  Expect(weight, weight.count, kF32, "weight");
  if (!rounded.empty()) Expect(rounded, weight.count, core::DType::kBF16, "rounded");
  Kernels(weight, stream)
      .adamw(weight.count, step, Floats(gradient), Floats(moment1), Floats(moment2), Floats(weight),
             OrNull(rounded), stream);
}

void SumsOfSquares(ConstView x, int64_t block, int64_t phase, View sums, Stream& stream) {
  MOAT_CHECK(block >= 1 && phase >= 0 && phase < block, "a place inside a block");
  Expect(x, x.count, kF32, "x");
  if (x.empty()) return;
  Expect(sums, (phase + x.count + block - 1) / block, core::DType::kF64, "sums");
  MOAT_CHECK(sums.device == x.device, "sums of squares are written beside the values");
  Kernels(x, stream).sums_of_squares(x.count, Floats(x), block, phase,
                                     static_cast<double*>(sums.data), stream);
}

}  // namespace moat::tensor
