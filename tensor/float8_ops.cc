// The ops of FP8: validation, once for every device; then the kernel.
#include "core/float8.h"
#include "tensor/operands.h"
#include "tensor/ops.h"

namespace moat::tensor {
namespace {

using core::kFloat8Step;
constexpr auto kBF16 = core::DType::kBF16;

void ExpectAligned(ConstView view, const char* what) {
  MOAT_CHECK(reinterpret_cast<uintptr_t>(view.data) % kFloat8Step == 0,
             std::string(what) + " does not lie at a multiple of 16 bytes");
}

void ExpectSteps(int64_t extent, const char* what) {
  MOAT_CHECK(extent > 0 && extent % kFloat8Step == 0,
             std::string(what) + " = " + std::to_string(extent) + " in FP8: not a multiple of 16");
}

void ExpectCodes(const ScaledView& view, int64_t count, core::DType dtype, const char* what) {
  Expect(view.values, count, dtype, what);
  Expect(view.scale, 1, kF32, "a scale");
  ExpectAligned(view.values, what);
  MOAT_CHECK(view.scale.device == view.values.device, "a scale lies beside its codes");
}

uint8_t* Codes(View view) { return static_cast<uint8_t*>(OrNull(view)); }

}  // namespace

void ScaleFor(core::DType format, ConstView x, View scale, Stream& stream) {
  MOAT_CHECK(core::IsFloat8(format) && !x.empty(), "a scale is of numbers in FP8");
  Expect(scale, 1, kF32, "scale");
  ExpectSteps(x.count, "elements");
  ExpectAligned(x, "x");
  MOAT_CHECK(scale.device == x.device, "a scale lies beside its numbers");
  Kernels(x, stream).scale_for(format, x.count, x.data, Floats(scale), stream);
}

void Quantize(int64_t rows, int64_t columns, ConstView x, ConstView scale, View values,
              View transposed, Stream& stream) {
  const core::DType format = values.empty() ? transposed.dtype : values.dtype;
  MOAT_CHECK(core::IsFloat8(format), "codes are e4m3 or e5m2");
  Expect(x, rows * columns, x.dtype, "x");
  ExpectSteps(rows, "rows");
  ExpectSteps(columns, "columns");
  ExpectAligned(x, "x");
  for (const View& to : {values, transposed}) {
    if (to.empty()) continue;
    ExpectCodes({to, scale}, x.count, format, "codes");
    MOAT_CHECK(to.device == x.device, "codes lie on the device of their numbers");
  }
  Kernels(x, stream).quantize(format, rows, columns, x.data, Floats(scale), Codes(values),
                              Codes(transposed), stream);
}

void ScaledMatMul(int64_t m, int64_t n, int64_t k, const ScaledView& a, const ScaledView& b,
                  ConstView bias, View c, bool accumulate, Stream& stream) {
  MOAT_CHECK(core::IsFloat8(a.values.dtype), "a is e4m3 or e5m2");
  ExpectCodes(a, m * k, a.values.dtype, "a");
  ExpectCodes(b, n * k, core::DType::kE4M3, "b");
  ExpectSteps(m, "m");
  ExpectSteps(n, "n");
  ExpectSteps(k, "k");
  Expect(c, m * n, c.dtype == kF32 ? kF32 : kBF16, "c");
  ExpectAligned(c, "c");
  if (!bias.empty()) {
    Expect(bias, n, kBF16, "bias");
    MOAT_CHECK(!accumulate, "a bias is not added to a sum that goes on");
  }
  MOAT_CHECK(a.values.device == stream.device(), "memory of another device than the stream's");
  DeviceOf(stream.device())
      .kernels(kBF16)
      .scaled_matmul({m, n, k, a.values.dtype, a.values.data, b.values.data, Floats(a.scale),
                      Floats(b.scale), OrNull(bias), c.data, c.dtype == kF32, accumulate},
                     stream);
}

std::string MissingFloat8(const Stream& stream) {
  if (stream.device() == core::DeviceKind::kCpu) return "";
  const DeviceDescription device = DeviceOf(stream.device()).describe(stream.index());
  constexpr int kFirst = 89;  // Ada; Hopper is 90
  if (device.major * 10 + device.minor >= kFirst) return "";
  return device.name + " has compute capability " + std::to_string(device.major) + "." +
         std::to_string(device.minor) + ", and FP8 products need 8.9 (Ada) or 9.0 (Hopper)";
}

void CheckFloat8(const Stream& stream) {
  const std::string missing = MissingFloat8(stream);
  if (missing.empty()) return;
  throw core::ConfigError("--matmul_dtype=fp8: " + missing + "; use --matmul_dtype=same");
}

}  // namespace moat::tensor
