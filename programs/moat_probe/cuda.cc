// Known products and sums on every device.
#include "programs/moat_probe/cuda.h"

#include <algorithm>

#include "comm/nccl.h"
#include "core/error.h"
#include "tensor/event.h"
#include "tensor/ops.h"

namespace moat::programs {
namespace {

constexpr int64_t kSide = 4096;
constexpr auto kCuda = core::DeviceKind::kCuda;

template <typename T>
tensor::Tensor Ones(tensor::Stream& stream) {
  const std::vector<T> ones(kSide * kSide, T(1.0f));
  tensor::Tensor there(kSide * kSide, core::DTypeOf<T>::value, kCuda);
  tensor::Copy(tensor::HostView(ones.data(), std::ssize(ones)), there.view(), stream);
  stream.Synchronize();
  return there;
}

// GFLOP/s; throws when the product of ones is not what it must be.
template <typename T>
double GflopsOf(tensor::Stream& stream) {
  const tensor::Tensor ones = Ones<T>(stream);
  tensor::Tensor result(kSide * kSide, core::DType::kF32, kCuda);
  tensor::Event begin(kCuda), end(kCuda);
  double best = 1e30;
  for (int round = 0; round < 5; ++round) {
    begin.Record(stream);
    tensor::MatMul(false, true, kSide, kSide, kSide, ones.view(), ones.view(), {}, result.view(),
                   false, stream);
    end.Record(stream);
    best = std::min(best, end.SecondsSince(begin));
  }
  std::vector<float> values(kSide * kSide);
  tensor::Copy(result.view(), tensor::HostView(values.data(), std::ssize(values)), stream);
  stream.Synchronize();
  const auto right = [](float value) { return value == static_cast<float>(kSide); };
  if (!std::all_of(values.begin(), values.end(), right)) {
    throw core::Error(core::ExitCode::kNode, "a product of ones is wrong on this device");
  }
  return 2e-9 * static_cast<double>(kSide * kSide) * static_cast<double>(kSide) / best;
}

template <typename Body>
std::string ProblemOf(const Body& body) {
  try {
    body();
    return "";
  } catch (const core::Error& error) {
    return error.what();
  }
}

}  // namespace

CudaProbe ProbeCuda() {
  CudaProbe probe;
  probe.report = tensor::LookAtCuda();
  probe.nccl = comm::NcclVersion();
  for (size_t i = 0; i < probe.report.devices.size(); ++i) {
    CudaDeviceProbe device;
    device.product_problem = ProblemOf([&] {
      tensor::Stream stream(kCuda, static_cast<int>(i));
      device.f32_gflops = GflopsOf<float>(stream);
      device.bf16_gflops = GflopsOf<core::BFloat16>(stream);
    });
    device.nccl_problem = ProblemOf([&] {
      tensor::Stream stream(kCuda, static_cast<int>(i));
      comm::CheckNccl(stream);
    });
    probe.devices.push_back(device);
  }
  return probe;
}

}  // namespace moat::programs
