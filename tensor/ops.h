// The ops: free functions over views, the stream last. About twenty, and all a transformer needs.
//
// Every op validates extents, dtypes and devices (BugError), then calls the device's kernel. Shapes
// stand in brackets, row-major. Unless said otherwise inputs and outputs share one dtype, f32 or
// bf16 (vectors of weights too; statistics, losses and gradients of parameters are f32), and
// outputs must not overlap inputs. An op's result depends on its inputs and shapes only: bitwise
// the same for any number of threads.
#pragma once

#include <cstdint>
#include <string>

#include "tensor/kernel_table.h"
#include "tensor/stream.h"
#include "tensor/tensor.h"

namespace moat::tensor {

// c [m, n] = op(a) op(b) + bias, or c += op(a) op(b) with `accumulate`. op(a) is [m, k]: a is
// stored [m, k], or [k, m] when trans_a; op(b) is [k, n]: b is stored [k, n], or [n, k] when
// trans_b. bias [n] is added to every row; empty: none. c may be f32 where a and b are bf16 (weight
// gradients, logits). Sums are f32. Work is split in fixed tiles of c; each is one sequential
// product, so bits do not depend on threads. REQUIRES: no bias with `accumulate`.
void MatMul(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, ConstView a, ConstView b,
            ConstView bias, View c, bool accumulate, Stream& stream);
// The same for a linear layer, weight [out, in], with what stands beside the product in one pass
// where the device has one for it; else, as on the CPU, it is the product and the other op.
//
// y [rows, out] = gelu(before), before [rows, out] = x [rows, in] weight^T + bias (may be empty).
// In one pass GELU is taken of the sum before it is rounded.
void LinearGelu(int64_t rows, int64_t in, int64_t out, ConstView x, ConstView weight,
                ConstView bias, View before, View y, Stream& stream);
// dbefore [rows, in] = (dy [rows, out] weight) * gelu'(before): through a layer to what came before
// the GELU that made its input.
void LinearGeluGrad(int64_t rows, int64_t in, int64_t out, ConstView dy, ConstView weight,
                    ConstView before, View dbefore, Stream& stream);
// dweight [out, in] = dy^T x and dbias [out] = sums of the columns of dy (empty: none), f32; +=
// with `accumulate`.
void LinearParameterGrad(int64_t rows, int64_t in, int64_t out, ConstView dy, ConstView x,
                         View dweight, View dbias, bool accumulate, Stream& stream);
// FP8: a tensor as codes of 8 bits (core/float8.h) and one scale for all of them, an f32 on the
// same device; what a code stands for is its number times the scale.
struct ScaledView {
  ConstView values;
  ConstView scale;
};
// scale [1] = the smallest power of two by which the largest magnitude of x fits into `format`
// (e4m3 or e5m2); NaN where x has a number that is not finite (core::Float8Scale). One reading of
// x; the device is not waited for.
void ScaleFor(core::DType format, ConstView x, View scale, Stream& stream);
// values [rows, columns] = x / scale, rounded to the nearest of their type, ties to even, and
// transposed [columns, rows] the same codes: a product wants its sum along rows in memory. Either
// may be empty. REQUIRES: rows and columns that 16 divides, memory at multiples of 16 bytes.
void Quantize(int64_t rows, int64_t columns, ConstView x, ConstView scale, View values,
              View transposed, Stream& stream);
// c [m, n] = a b^T + bias, or c += a b^T with `accumulate`, of a [m, k] in e4m3 or e5m2 and b [n,
// k] in e4m3. c is f32 or bf16, bias [n] (empty: none) bf16. Sums are f32, of exact products.
// REQUIRES: as Quantize, of m, n and k; no bias with `accumulate`.
void ScaledMatMul(int64_t m, int64_t n, int64_t k, const ScaledView& a, const ScaledView& b,
                  ConstView bias, View c, bool accumulate, Stream& stream);
// Why the stream's device has no FP8 products, for people: a CUDA device of compute capability
// below 8.9. Empty where it has, and on a CPU, which has none either but gives their numbers.
std::string MissingFloat8(const Stream& stream);
// Throws ConfigError with that.
void CheckFloat8(const Stream& stream);

// dbias [width] (f32) = sums of the columns of dy [rows, width], rows in order; += with
// `accumulate`.
void BiasGrad(ConstView dy, View dbias, bool accumulate, Stream& stream);

// y [tokens, width] = rows ids of a table, or y += with `accumulate`. `table` [rows, width] holds
// the rows [first, first + rows) of it; other ids give zeros.
void Embed(ConstView ids, ConstView table, int64_t first, View y, int64_t width, bool accumulate,
           Stream& stream);
// dtable (f32; `first` as above) += rows of dy, in the order of tokens; other ids are passed over.
void EmbedGrad(ConstView ids, ConstView dy, View dtable, int64_t first, int64_t width,
               Stream& stream);

// y = x / rms(x) * weight, rms(x) = sqrt(mean(x^2) + epsilon), over rows of `width`. inverse_rms
// [rows] (f32) is kept for the gradient. Zhang and Sennrich, "Root Mean Square Layer
// Normalization", 2019, eq. 4.
void RmsNorm(ConstView x, ConstView weight, View y, View inverse_rms, double epsilon,
             Stream& stream);
// dx and dweight (f32; += with `accumulate`). dx may be dy.
void RmsNormGrad(ConstView x, ConstView weight, ConstView inverse_rms, ConstView dy, View dx,
                 View dweight, bool accumulate, Stream& stream);

// y = (x - mean(x)) * inverse * weight + bias, inverse = 1 / sqrt(var(x) + epsilon), over rows of
// `width`; bias may be empty. mean and inverse [rows] (f32) are kept for the gradient. Ba et al.,
// "Layer Normalization", 2016, eq. 4.
void LayerNorm(ConstView x, ConstView weight, ConstView bias, View y, View mean, View inverse,
               double epsilon, Stream& stream);
// dx, dweight and dbias (f32; += with `accumulate`; dbias empty where there is no bias). dx may be
// dy.
void LayerNormGrad(ConstView x, ConstView weight, ConstView mean, ConstView inverse, ConstView dy,
                   View dx, View dweight, View dbias, bool accumulate, Stream& stream);

// Rotary positions, in place: rotates pairs (i, i + head_width/2) of the first `heads` heads of
// each row of x [tokens, stride] by position * base^(-2i/head_width); `inverse` rotates back (the
// gradient). Su et al., "RoFormer", 2021, eq. 34, in the half-split layout of the Llama weights
// that others publish.
void Rotate(View x, ConstView positions, int64_t heads, int64_t head_width, int64_t stride,
            double base, bool inverse, Stream& stream);

// Causal attention inside spans. qkv [rows * seq_len, (heads + 2 kv_heads) * head_width]: queries,
// keys, values of a slot side by side; query head h uses key/value head h / (heads / kv_heads).
// Slot t sees slots [span_start[t], t] of its row. out [rows * seq_len, heads * head_width];
// log_sum [rows, heads, seq_len] (f32) is the log of the softmax's denominator, kept for the
// gradient. workspace (f32): core::AttentionWorkspace() or more. Scores are scaled by
// 1/sqrt(head_width) (Vaswani et al., 2017, eq. 1); they are computed a tile of `tile` queries at a
// time and never stored whole (Dao et al., "FlashAttention", 2022, backward by recomputation).
void Attention(const AttentionShape& shape, ConstView span_start, ConstView qkv, View out,
               View log_sum, View workspace, Stream& stream);
// Throws ConfigError where the stream's device does not take such a shape in `dtype`: to be asked
// before anything is computed.
void CheckAttention(const AttentionShape& shape, core::DType dtype, bool with_gradient,
                    Stream& stream);
// dqkv from dout.
void AttentionGrad(const AttentionShape& shape, ConstView span_start, ConstView qkv, ConstView out,
                   ConstView log_sum, ConstView dout, View dqkv, View workspace, Stream& stream);

// One new slot against a cache: q [heads * head_width], keys and values [length, kv_heads *
// head_width], out like q.
void AttentionCached(ConstView q, ConstView keys, ConstView values, View out, int64_t heads,
                     int64_t kv_heads, int64_t head_width, Stream& stream);

// y [rows, width] = silu(gate) * up; gate_up [rows, 2 width] holds both side by side. Shazeer, "GLU
// Variants", 2020, eq. 5.
void SwiGlu(ConstView gate_up, View y, int64_t width, Stream& stream);
void SwiGluGrad(ConstView gate_up, ConstView dy, View dgate_up, int64_t width, Stream& stream);

// y = x / 2 * (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Hendrycks and Gimpel, "Gaussian Error
// Linear Units", 2016, section 2: the approximation, which GPT-2's weights were trained with.
void Gelu(ConstView x, View y, Stream& stream);
void GeluGrad(ConstView x, ConstView dy, View dx, Stream& stream);  // dx may be dy

// y = x + dropout(branch), x and branch [rows * seq_len, width]; kept values are scaled by
// 1/(1-rate). y may be x. The mask depends on the key, the global sample, the position in the row
// and the feature only. Srivastava et al., 2014.
void AddDropout(ConstView x, ConstView branch, View y, int64_t width, const DropoutKey& dropout,
                Stream& stream);
// x = dropout(x), in place: forward, and the gradient with the same key.
void Dropout(View x, int64_t width, const DropoutKey& dropout, Stream& stream);

void Add(ConstView x, View y, Stream& stream);  // y += x, one float dtype

// y = x, any one dtype. Each is memory of the stream's device or of the host. Host memory is not
// touched by the caller until a device's stream is done.
void Copy(ConstView x, View y, Stream& stream);

void Zero(View y, Stream& stream);  // y = 0, any dtype

void Cast(ConstView x, View y, Stream& stream);  // y = x, between float dtypes; rounds to nearest

// losses [rows] (f32) = weights * (log sum exp(logits) - logits[target]), logits [rows, vocab]
// (f32). dlogits, where not empty, becomes weights * (softmax(logits) - onehot(target)); it may be
// logits itself. Rows of weight 0 give loss 0 and gradient 0.
void CrossEntropy(ConstView logits, ConstView targets, ConstView weights, View losses, View dlogits,
                  Stream& stream);

// The same where logits [rows, part] are those of a part of the vocabulary, the tokens [first,
// first
// + part). First each part's statistics [rows, 3] (f32): the largest logit, the sum of exp(logit -
// largest), and the target's logit (0 when the target is of another part). Then, from those of all
// parts, [parts, rows, 3] in a fixed order, losses and this part's gradient.
void PartStatistics(ConstView logits, ConstView targets, int64_t first, View statistics,
                    Stream& stream);
void CrossEntropyOfPart(ConstView statistics, ConstView logits, ConstView targets, int64_t first,
                        ConstView weights, View losses, View dlogits, Stream& stream);

// AdamW over one f32 range: g = scale * gradient; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2;
// w -= lr * (m / c1 / (sqrt(v / c2) + eps) + decay * w). Loshchilov and Hutter, "Decoupled Weight
// Decay", 2019, algorithm 2. rounded (bf16), where not empty, becomes the new weights rounded.
void AdamW(const AdamWStep& step, ConstView gradient, View moment1, View moment2, View weight,
           View rounded, Stream& stream);

// Sums of squares of an f32 range in f64, per block: x is a stretch of a longer array, of which
// `phase` elements of the same block lie before it. sums [blocks that x touches], on x's device. A
// block's bits depend on its elements in x only.
void SumsOfSquares(ConstView x, int64_t block, int64_t phase, View sums, Stream& stream);

}  // namespace moat::tensor
