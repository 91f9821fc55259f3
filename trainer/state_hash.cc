// The hash of a run's state.
#include "trainer/state_hash.h"

#include <bit>

#include "core/rng.h"

namespace moat::trainer {
namespace {

// Of a box of a tensor: row by row, since elements of a row have consecutive indices.
uint64_t HashOf(const checkpoint::SliceToSave& slice) {
  const uint64_t key = core::KeyFromName(0, slice.tensor);
  const parallel::Slice& box = slice.slice;
  const int dims = slice.global.rank();
  const int64_t columns =
      dims == 0 ? 1
                : box.end[static_cast<size_t>(dims) - 1] - box.begin[static_cast<size_t>(dims) - 1];
  const float* values = slice.data.as<float>();
  uint64_t sum = 0;
  for (int64_t row = 0; row * columns < slice.data.count; ++row) {
    int64_t index = 0, rest = row, stride = 1;  // of the row's first element
    for (int d = dims - 1; d >= 0; --d) {
      const auto at = static_cast<size_t>(d);
      const int64_t extent = box.end[at] - box.begin[at];
      index += (box.begin[at] + (d == dims - 1 ? 0 : rest % extent)) * stride;
      if (d != dims - 1) rest /= extent;
      stride *= slice.global[d];
    }
    for (int64_t c = 0; c < columns; ++c) {
      const auto bits = std::bit_cast<uint32_t>(values[row * columns + c]);
      sum += core::Mix64((key + static_cast<uint64_t>(index + c) * 0x9e3779b97f4a7c15ull) ^ bits);
    }
  }
  return sum;
}

}  // namespace

uint64_t StateHash(const std::vector<checkpoint::SliceToSave>& mine, comm::Communicator& world,
                   tensor::Stream& stream) {
  uint64_t sum = 0;
  for (const checkpoint::SliceToSave& slice : mine) {
    if (slice.data.count > 0) sum += HashOf(slice);
  }
  world.AllReduce(tensor::HostView(&sum, 1), comm::ReduceOp::kSum, comm::Order::kTree, stream);
  return sum;
}

}  // namespace moat::trainer
