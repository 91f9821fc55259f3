// Matrix products through cuBLASLt: calls to shapes and operands.
#include "core/error.h"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/planned_products.h"

namespace moat::tensor::cuda {
namespace {

MatmulShape ShapeOf(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, core::DType dtype,
                    bool c_is_f32, const MatmulOperands& operands) {
  MatmulShape shape{};
  shape.trans_a = trans_a;
  shape.trans_b = trans_b;
  shape.m = m;
  shape.n = n;
  shape.k = k;
  shape.a_dtype = dtype;
  shape.b_dtype = dtype;
  shape.bias_dtype = dtype;
  shape.c_dtype = c_is_f32 ? core::DType::kF32 : dtype;
  shape.a_alignment = AlignmentOf(operands.a);
  shape.b_alignment = AlignmentOf(operands.b);
  shape.c_alignment = AlignmentOf(operands.c);
  shape.bias_alignment = AlignmentOf(operands.bias);
  shape.before_alignment = AlignmentOf(operands.before);
  return shape;
}

template <core::DType dtype>
void MatMul(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void* a,
            const void* b, const void* bias, void* c, bool c_is_f32, bool accumulate,
            const Stream& stream) {
  const MatmulOperands operands{a, b, bias, nullptr, c};
  MatmulShape shape = ShapeOf(trans_a, trans_b, m, n, k, dtype, c_is_f32, operands);
  shape.accumulate = accumulate;
  shape.bias = bias != nullptr;
  if (!ProductsOf(stream).Enqueue(shape, operands, nullptr)) {
    throw core::ConfigError("cuBLASLt has no algorithm for the product " + TextOf(shape));
  }
}

// The library takes FP8 with the sum along both factors' rows in memory, as ours are. Where it has
// no algorithm there is no other way than the bf16 that the run can ask for.
void ScaledMatMul(const ScaledProduct& p, const Stream& stream) {
  const MatmulOperands operands{p.a, p.b, p.bias, nullptr, p.c, p.a_scale, p.b_scale};
  MatmulShape shape = ShapeOf(false, true, p.m, p.n, p.k, core::DType::kBF16, p.c_is_f32, operands);
  shape.a_dtype = p.a_dtype;
  shape.b_dtype = core::DType::kE4M3;
  shape.accumulate = p.accumulate;
  shape.bias = p.bias != nullptr;
  if (!ProductsOf(stream).Enqueue(shape, operands, nullptr)) {
    throw core::ConfigError("cuBLASLt has no algorithm for the product " + TextOf(shape) +
                            "; use --matmul_dtype=same");
  }
}

Ending EndingOf(FusedProduct::Ending ending) {
  switch (ending) {
    case FusedProduct::Ending::kGelu:
      return Ending::kGelu;
    case FusedProduct::Ending::kGeluGrad:
      return Ending::kGeluGrad;
    case FusedProduct::Ending::kBiasGrad:
      break;
  }
  return Ending::kBiasGrad;
}

// As linear_ops.cc does where this device does not do it in one pass.
void InParts(const FusedProduct& p, const KernelTable& kernels, const Stream& stream) {
  const bool gelu = p.ending == FusedProduct::Ending::kGelu;
  void* const product = gelu ? p.before : p.c;
  kernels.matmul(p.trans_a, p.trans_b, p.m, p.n, p.k, p.a, p.b, p.bias, product, p.c_is_f32, false,
                 stream);
  if (gelu) {
    kernels.gelu(p.m * p.n, p.before, p.c, stream);
  } else if (p.ending == FusedProduct::Ending::kGeluGrad) {
    kernels.gelu_grad(p.m * p.n, p.before, p.c, p.c, stream);
  } else {
    kernels.bias_grad(p.k, p.m, p.a, p.dbias, false, stream);
  }
}

template <core::DType dtype>
bool Fused(const FusedProduct& p, const Stream& stream) {
  const void* const bias = p.dbias != nullptr ? p.dbias : p.bias;
  const MatmulOperands operands{p.a, p.b, bias, p.before, p.c};
  MatmulShape shape = ShapeOf(p.trans_a, p.trans_b, p.m, p.n, p.k, dtype, p.c_is_f32, operands);
  shape.bias = p.bias != nullptr;
  shape.ending = EndingOf(p.ending);
  return ProductsOf(stream).Enqueue(shape, operands, [&] { InParts(p, Kernels(dtype), stream); });
}

template <core::DType dtype>
void Fill(KernelTable& table) {
  table.matmul = MatMul<dtype>;
  table.fused_product = Fused<dtype>;
}

}  // namespace

void FillMatMul(core::DType dtype, KernelTable& table) {
  dtype == core::DType::kF32 ? Fill<core::DType::kF32>(table) : Fill<core::DType::kBF16>(table);
  if (dtype == core::DType::kBF16) table.scaled_matmul = ScaledMatMul;
}

}  // namespace moat::tensor::cuda
