// Linear layers and norms, forward and backward.
#include "model/parallel_linear.h"

#include "model/float8_linear.h"

namespace moat::model {

using tensor::ConstView;
using tensor::Stream;
using tensor::View;

namespace {

void AddOrReplace(ConstView fresh, View gradient, bool accumulate, Stream& stream) {
  if (accumulate) {
    tensor::Add(fresh, gradient, stream);
  } else {
    tensor::Copy(fresh, gradient, stream);
  }
}

void ParameterGradients(const Linear& layer, ConstView x, ConstView dy, bool accumulate,
                        Stream& stream) {
  if (layer.float8.used()) return Float8ParameterGradients(layer, x, dy, accumulate, stream);
  tensor::LinearParameterGrad(x.count / layer.in, layer.in, layer.out, dy, x, layer.weight_gradient,
                              layer.bias_gradient, accumulate, stream);
}

// Of a layer with rows that other ranks hold, too: this micro-batch's gradients are summed over
// those ranks before they join what was summed before.
void CopiedParameterGradients(const Linear& layer, const TensorAxis& axis, ConstView x,
                              ConstView dy, bool accumulate, Stream& stream) {
  Linear fresh = layer;
  fresh.weight_gradient = axis.GradientScratch(0, layer.weight_gradient.count);
  fresh.bias_gradient =
      axis.GradientScratch(layer.weight_gradient.count, layer.bias_gradient.count);
  ParameterGradients(fresh, x, dy, false, stream);
  const auto finish = [&](View gradient, int64_t row, View target) {
    if (gradient.empty()) return;
    const int64_t copied = layer.copied * row;
    axis.SumOverCopies(gradient.Range(gradient.count - copied, copied), stream);
    AddOrReplace(gradient, target, accumulate, stream);
  };
  finish(fresh.weight_gradient, layer.in, layer.weight_gradient);
  finish(fresh.bias_gradient, 1, layer.bias_gradient);
}

// After the layer's parameter gradients of the same dy.
void InputGradient(const Linear& layer, ConstView dy, View dx, Stream& stream) {
  if (layer.float8.used()) return Float8InputGradient(layer, dy, dx, stream);
  tensor::MatMul(false, false, dy.count / layer.out, layer.in, layer.out, dy, layer.weight, {}, dx,
                 false, stream);
}

void Product(const Linear& layer, ConstView x, ConstView bias, View y, Stream& stream) {
  if (layer.float8.used()) return Float8Product(layer, x, bias, y, stream);
  tensor::MatMul(false, true, x.count / layer.in, layer.out, layer.in, x, layer.weight, bias, y,
                 false, stream);
}

}  // namespace

void SplitOutputForward(const Linear& layer, const TensorAxis& axis, ConstView x, View y,
                        Stream& stream) {
  Product(layer, axis.Whole(x, stream), layer.bias, y, stream);
}

void SplitOutputGeluForward(const Linear& layer, const TensorAxis& axis, ConstView x, View before,
                            View y, Stream& stream) {
  const ConstView whole = axis.Whole(x, stream);
  if (layer.float8.used()) {
    Float8Product(layer, whole, layer.bias, before, stream);
    return tensor::Gelu(before, y, stream);
  }
  tensor::LinearGelu(whole.count / layer.in, layer.in, layer.out, whole, layer.weight, layer.bias,
                     before, y, stream);
}

void SplitOutputBackward(const Linear& layer, const TensorAxis& axis, ConstView x, ConstView dy,
                         View dx, bool accumulate, Stream& stream) {
  const ConstView whole = axis.Whole(x, stream);
  if (layer.copied > 0 && axis.has_copies()) {
    CopiedParameterGradients(layer, axis, whole, dy, accumulate, stream);
  } else {
    ParameterGradients(layer, whole, dy, accumulate, stream);
  }
  axis.Sum(dx, stream, [&](View part) { InputGradient(layer, dy, part, stream); });
}

void SplitInputForward(const Linear& layer, const TensorAxis& axis, ConstView x, View y,
                       Stream& stream) {
  const ConstView bias = axis.rank() == 0 ? layer.bias : View{};  // once in the sum
  axis.Sum(y, stream, [&](View part) { Product(layer, x, bias, part, stream); });
}

void SplitInputBackward(const Linear& layer, const TensorAxis& axis, ConstView x, ConstView dy,
                        View dx, bool accumulate, Stream& stream) {
  const ConstView whole = axis.Whole(dy, stream);
  ParameterGradients(layer, x, whole, accumulate, stream);
  InputGradient(layer, whole, dx, stream);
}

void SplitInputGeluBackward(const Linear& layer, const TensorAxis& axis, ConstView x, ConstView dy,
                            ConstView before, View dbefore, bool accumulate, Stream& stream) {
  const ConstView whole = axis.Whole(dy, stream);
  ParameterGradients(layer, x, whole, accumulate, stream);
  if (layer.float8.used()) {
    Float8InputGradient(layer, whole, dbefore, stream);
    return tensor::GeluGrad(before, dbefore, dbefore, stream);
  }
  tensor::LinearGeluGrad(x.count / layer.in, layer.in, layer.out, whole, layer.weight, before,
                         dbefore, stream);
}

void NormForward(const Norm& norm, ConstView x, const NormOutput& output, Stream& stream) {
  if (norm.kind == configs::Norm::kRms) {
    tensor::RmsNorm(x, norm.weight, output.y, output.inverse, norm.epsilon, stream);
  } else {
    tensor::LayerNorm(x, norm.weight, norm.bias, output.y, output.mean, output.inverse,
                      norm.epsilon, stream);
  }
}

namespace {

void NormGradients(const Norm& norm, ConstView x, const NormOutput& output, ConstView dy, View dx,
                   bool accumulate, Stream& stream) {
  if (norm.kind == configs::Norm::kRms) {
    tensor::RmsNormGrad(x, norm.weight, output.inverse, dy, dx, norm.weight_gradient, accumulate,
                        stream);
  } else {
    tensor::LayerNormGrad(x, norm.weight, output.mean, output.inverse, dy, dx, norm.weight_gradient,
                          norm.bias_gradient, accumulate, stream);
  }
}

}  // namespace

void NormBackward(const Norm& norm, const TensorAxis& axis, ConstView x, const NormOutput& output,
                  ConstView dy, View dx, bool accumulate, Stream& stream) {
  if (!axis.sequence_parallel()) {
    return NormGradients(norm, x, output, dy, dx, accumulate, stream);
  }
  const int64_t width = norm.weight_gradient.count, biases = norm.bias_gradient.count;
  Norm fresh = norm;
  fresh.weight_gradient = axis.GradientScratch(0, width);
  fresh.bias_gradient = axis.GradientScratch(width, biases);
  NormGradients(fresh, x, output, dy, dx, false, stream);
  axis.SumInPlace(axis.GradientScratch(0, width + biases), stream);
  AddOrReplace(fresh.weight_gradient, norm.weight_gradient, accumulate, stream);
  if (biases > 0) AddOrReplace(fresh.bias_gradient, norm.bias_gradient, accumulate, stream);
}

}  // namespace moat::model
