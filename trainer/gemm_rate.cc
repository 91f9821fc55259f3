// The rate of matrix products.
#include "trainer/gemm_rate.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/clock.h"
#include "tensor/ops.h"

namespace moat::trainer {

double MeasureGemmRate(core::DType dtype, comm::Communicator& world, tensor::Stream& stream) {
  constexpr int64_t kExtent = 768;
  constexpr double kSeconds = 0.1;
  const auto matrix = [&] { return tensor::Tensor(kExtent * kExtent, dtype, stream.device()); };
  tensor::Tensor a = matrix(), b = matrix(), c = matrix();
  world.Barrier();
  const double start = core::MonotonicSeconds();
  double best = 0;
  for (double now = start; now - start < kSeconds;) {
    tensor::MatMul(false, true, kExtent, kExtent, kExtent, a.view(), b.view(), {}, c.view(), false,
                   stream);
    stream.Synchronize();
    const double end = core::MonotonicSeconds();
    best = std::max(best, 2.0 * kExtent * kExtent * kExtent / (end - now));
    now = end;
  }
  tensor::Stream host;
  std::vector<double> rates(static_cast<size_t>(world.size()));
  world.AllGather(tensor::HostView(&std::as_const(best), 1),
                  tensor::HostView(rates.data(), world.size()), host);
  double total = 0;
  for (const double rate : rates) total += rate;
  return total;
}

}  // namespace moat::trainer
