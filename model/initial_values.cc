// The values that a parameter begins with.
#include <vector>

#include "core/rng.h"
#include "model/transformer.h"

namespace moat::model {

using tensor::View;

void InitialValues(const Parameter& parameter, const parallel::Slice& slice, uint64_t seed, View to,
                   tensor::Stream& stream) {
  MOAT_CHECK(to.count == slice.elements(), "room for the slice");
  if (to.device != core::DeviceKind::kCpu) {
    std::vector<float> values(static_cast<size_t>(to.count));
    tensor::Stream cpu;
    InitialValues(parameter, slice, seed, tensor::HostView(values.data(), to.count), cpu);
    tensor::Copy(tensor::HostView(values.data(), to.count), to, stream);
    return stream.Synchronize();
  }
  auto* const values = to.as<float>();
  const uint64_t key = core::KeyFromName(seed, parameter.name);
  const auto deviation = static_cast<float>(parameter.deviation);
  const size_t last = slice.begin.size() - 1;
  const int64_t columns = slice.end[last] - slice.begin[last];
  const int64_t first_row = last == 0 ? 0 : slice.begin[0];
  const int64_t stride = parameter.split.global[static_cast<int>(last)];
  for (int64_t i = 0; i < slice.elements(); ++i) {
    const int64_t at = (first_row + i / columns) * stride + slice.begin[last] + i % columns;
    values[i] = parameter.init == Init::kNormal
                    ? deviation * core::RandomNormal(key, static_cast<uint64_t>(at))
                    : (parameter.init == Init::kOnes ? 1.0f : 0.0f);
  }
}

}  // namespace moat::model
