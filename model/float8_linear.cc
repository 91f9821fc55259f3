// FP8's products of a linear layer: what is coded when, and in which layout.
#include "model/float8_linear.h"

namespace moat::model {

using tensor::ConstView;
using tensor::Stream;
using tensor::View;

void Float8Product(const Linear& layer, ConstView x, ConstView bias, View y, Stream& stream) {
  const Float8Memory& at = layer.float8;
  const int64_t rows = x.count / layer.in;
  const View input = at.input.Range(0, x.count), weight = at.weight.Range(0, layer.weight.count);
  tensor::ScaleFor(input.dtype, x, at.input_scale, stream);
  tensor::ScaleFor(weight.dtype, layer.weight, at.weight_scale, stream);
  tensor::Quantize(rows, layer.in, x, at.input_scale, input, {}, stream);
  tensor::Quantize(layer.out, layer.in, layer.weight, at.weight_scale, weight, {}, stream);
  tensor::ScaledMatMul(rows, layer.out, layer.in, {input, at.input_scale},
                       {weight, at.weight_scale}, bias, y, false, stream);
}

// dW = dy^T x: the sum goes along slots, so both are transposed.
void Float8ParameterGradients(const Linear& layer, ConstView x, ConstView dy, bool accumulate,
                              Stream& stream) {
  const Float8Memory& at = layer.float8;
  const int64_t rows = x.count / layer.in;
  const View input = at.input.Range(0, x.count);
  const View gradient = at.gradient.Range(0, dy.count);
  const View transposed = at.gradient_transposed.Range(0, dy.count);
  tensor::ScaleFor(gradient.dtype, dy, at.gradient_scale, stream);
  tensor::Quantize(rows, layer.out, dy, at.gradient_scale, gradient, transposed, stream);
  tensor::Quantize(rows, layer.in, x, at.input_scale, {}, input, stream);
  tensor::ScaledMatMul(layer.out, layer.in, rows, {transposed, at.gradient_scale},
                       {input, at.input_scale}, {}, layer.weight_gradient, accumulate, stream);
  if (!layer.bias_gradient.empty()) {
    tensor::BiasGrad(dy, layer.bias_gradient, accumulate, stream);
  }
}

void Float8InputGradient(const Linear& layer, ConstView dy, View dx, Stream& stream) {
  const Float8Memory& at = layer.float8;
  const View gradient = at.gradient.Range(0, dy.count);
  const View weight = at.weight.Range(0, layer.weight.count);
  tensor::Quantize(layer.out, layer.in, layer.weight, at.weight_scale, {}, weight, stream);
  tensor::ScaledMatMul(dy.count / layer.out, layer.in, layer.out, {gradient, at.gradient_scale},
                       {weight, at.weight_scale}, {}, dx, false, stream);
}

}  // namespace moat::model
