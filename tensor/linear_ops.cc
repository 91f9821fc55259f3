// Products of linear layers with what stands beside them: one pass where the device has it, else
// the product and the other op.
#include "tensor/operands.h"
#include "tensor/ops.h"

namespace moat::tensor {
namespace {

// Done in one pass, if the device does that. `a`: the product's left factor.
bool InOnePass(ConstView a, const FusedProduct& product, const Stream& stream) {
  const auto fused = Kernels(a, stream).fused_product;
  return fused != nullptr && product.m > 0 && product.k > 0 && fused(product, stream);
}

}  // namespace

void LinearGelu(int64_t rows, int64_t in, int64_t out, ConstView x, ConstView weight,
                ConstView bias, View before, View y, Stream& stream) {
  Expect(x, rows * in, x.dtype, "x");
  Expect(weight, out * in, x.dtype, "weight");
  if (!bias.empty()) Expect(bias, out, x.dtype, "bias");
  Expect(before, rows * out, x.dtype, "before");
  Expect(y, rows * out, x.dtype, "y");
  const FusedProduct product{.ending = FusedProduct::Ending::kGelu,
                             .trans_a = false,
                             .trans_b = true,
                             .m = rows,
                             .n = out,
                             .k = in,
                             .a = x.data,
                             .b = weight.data,
                             .bias = OrNull(bias),
                             .before = before.data,
                             .c = y.data,
                             .c_is_f32 = y.dtype == kF32,
                             .dbias = nullptr};
  if (InOnePass(x, product, stream)) return;
  MatMul(false, true, rows, out, in, x, weight, bias, before, false, stream);
  Gelu(before, y, stream);
}

void LinearGeluGrad(int64_t rows, int64_t in, int64_t out, ConstView dy, ConstView weight,
                    ConstView before, View dbefore, Stream& stream) {
  Expect(dy, rows * out, dy.dtype, "dy");
  Expect(weight, out * in, dy.dtype, "weight");
  Expect(before, rows * in, dy.dtype, "before");
  Expect(dbefore, rows * in, dy.dtype, "dbefore");
  const FusedProduct product{.ending = FusedProduct::Ending::kGeluGrad,
                             .trans_a = false,
                             .trans_b = false,
                             .m = rows,
                             .n = in,
                             .k = out,
                             .a = dy.data,
                             .b = weight.data,
                             .bias = nullptr,
                             .before = const_cast<void*>(before.data),
                             .c = dbefore.data,
                             .c_is_f32 = dbefore.dtype == kF32,
                             .dbias = nullptr};
  if (InOnePass(dy, product, stream)) return;
  MatMul(false, false, rows, in, out, dy, weight, {}, dbefore, false, stream);
  GeluGrad(before, dbefore, dbefore, stream);
}

void LinearParameterGrad(int64_t rows, int64_t in, int64_t out, ConstView dy, ConstView x,
                         View dweight, View dbias, bool accumulate, Stream& stream) {
  Expect(dy, rows * out, dy.dtype, "dy");
  Expect(x, rows * in, dy.dtype, "x");
  Expect(dweight, out * in, kF32, "dweight");
  if (!dbias.empty()) Expect(dbias, out, kF32, "dbias");
  const FusedProduct product{.ending = FusedProduct::Ending::kBiasGrad,
                             .trans_a = true,
                             .trans_b = false,
                             .m = out,
                             .n = in,
                             .k = rows,
                             .a = dy.data,
                             .b = x.data,
                             .bias = nullptr,
                             .before = nullptr,
                             .c = dweight.data,
                             .c_is_f32 = true,
                             .dbias = static_cast<float*>(OrNull(dbias))};
  if (!dbias.empty() && !accumulate && InOnePass(dy, product, stream)) return;
  MatMul(true, false, out, in, rows, dy, x, {}, dweight, accumulate, stream);
  if (!dbias.empty()) BiasGrad(dy, dbias, accumulate, stream);
}

}  // namespace moat::tensor
