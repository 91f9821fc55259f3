// Linear layers and norms, forward and backward.
#include "model/parallel_linear.h"

namespace moat::model {

using tensor::ConstView;
using tensor::Stream;
using tensor::View;

namespace {

void ParameterGradients(const Linear& layer, ConstView x, ConstView dy, bool accumulate,
                        Stream& stream) {
  tensor::MatMul(true, false, layer.out, layer.in, x.count / layer.in, dy, x, {},
                 layer.weight_gradient, accumulate, stream);
  if (!layer.bias.empty()) tensor::BiasGrad(dy, layer.bias_gradient, accumulate, stream);
}

void InputGradient(const Linear& layer, ConstView dy, View dx, Stream& stream) {
  tensor::MatMul(false, false, dy.count / layer.out, layer.in, layer.out, dy, layer.weight, {}, dx,
                 false, stream);
}

void Product(const Linear& layer, ConstView x, ConstView bias, View y, Stream& stream) {
  tensor::MatMul(false, true, x.count / layer.in, layer.out, layer.in, x, layer.weight, bias, y,
                 false, stream);
}

}  // namespace

void SplitOutputForward(const Linear& layer, ConstView x, View y, Stream& stream) {
  Product(layer, x, layer.bias, y, stream);
}

void SplitOutputBackward(const Linear& layer, const TensorAxis& axis, ConstView x, ConstView dy,
                         View dx, bool accumulate, Stream& stream) {
  ParameterGradients(layer, x, dy, accumulate, stream);
  axis.Sum(dx, stream, [&](View part) { InputGradient(layer, dy, part, stream); });
}

void SplitInputForward(const Linear& layer, const TensorAxis& axis, ConstView x, View y,
                       Stream& stream) {
  const ConstView bias = axis.rank() == 0 ? layer.bias : View{};  // once in the sum
  axis.Sum(y, stream, [&](View part) { Product(layer, x, bias, part, stream); });
}

void SplitInputBackward(const Linear& layer, ConstView x, ConstView dy, View dx, bool accumulate,
                        Stream& stream) {
  ParameterGradients(layer, x, dy, accumulate, stream);
  InputGradient(layer, dy, dx, stream);
}

void NormForward(const Norm& norm, ConstView x, const NormOutput& output, Stream& stream) {
  if (norm.kind == configs::Norm::kRms) {
    tensor::RmsNorm(x, norm.weight, output.y, output.inverse, norm.epsilon, stream);
  } else {
    tensor::LayerNorm(x, norm.weight, norm.bias, output.y, output.mean, output.inverse,
                      norm.epsilon, stream);
  }
}

void NormBackward(const Norm& norm, ConstView x, const NormOutput& output, ConstView dy, View dx,
                  bool accumulate, Stream& stream) {
  if (norm.kind == configs::Norm::kRms) {
    tensor::RmsNormGrad(x, norm.weight, output.inverse, dy, dx, norm.weight_gradient, accumulate,
                        stream);
  } else {
    tensor::LayerNormGrad(x, norm.weight, output.mean, output.inverse, dy, dx, norm.weight_gradient,
                          norm.bias_gradient, accumulate, stream);
  }
}

}  // namespace moat::model
