// The hash of a run's state.
#include "trainer/state_hash.h"

#include <algorithm>

#include "core/error.h"
#include "core/rng.h"
#include "tensor/host_stretches.h"

namespace moat::trainer {
namespace {

// Global indices of a box's elements, one after the other in row-major order.
class GlobalIndex {
 public:
  explicit GlobalIndex(const checkpoint::SliceToSave& slice)
      : box_(slice.slice), global_(slice.global), at_(slice.slice.begin) {}

  // Elements from here to the end of the row; their indices are consecutive.
  int64_t left() const { return at_.empty() ? 1 : box_.end.back() - at_.back(); }
  int64_t index() const {
    int64_t index = 0;
    for (int d = 0; d < global_.rank(); ++d)
      index = index * global_[d] + at_[static_cast<size_t>(d)];
    return index;
  }
  void Advance(int64_t elements) {  // REQUIRES: no more than are left in the row
    if (at_.empty()) return;
    at_.back() += elements;
    for (size_t d = at_.size() - 1; d > 0 && at_[d] == box_.end[d]; --d) {
      at_[d] = box_.begin[d];
      ++at_[d - 1];
    }
  }

 private:
  const parallel::Slice& box_;
  const core::Shape& global_;
  std::vector<int64_t> at_;
};

uint64_t HashOf(const checkpoint::SliceToSave& slice) {
  const uint64_t key = core::KeyFromName(0, slice.tensor);
  GlobalIndex at(slice);
  uint64_t sum = 0;
  const auto add = [&](const char* bytes, int64_t count) {
    const auto* values = reinterpret_cast<const uint32_t*>(bytes);
    for (int64_t rest = count / int64_t{sizeof(float)}; rest > 0;) {
      const int64_t run = std::min(rest, at.left()), index = at.index();
      for (int64_t c = 0; c < run; ++c) {
        sum += core::Mix64((key + static_cast<uint64_t>(index + c) * 0x9e3779b97f4a7c15ull) ^
                           values[c]);
      }
      at.Advance(run);
      values += run;
      rest -= run;
    }
  };
  tensor::ForEachHostStretch(slice.data, tensor::kHostStretchBytes, slice.stream, add);
  return sum;
}

}  // namespace

uint64_t StateHash(const std::vector<checkpoint::SliceToSave>& mine, comm::Communicator& world) {
  uint64_t sum = 0;
  for (const checkpoint::SliceToSave& slice : mine) {
    MOAT_CHECK(slice.data.dtype == core::DType::kF32, "a run's state is f32");
    sum += HashOf(slice);
  }
  tensor::Stream host;
  world.AllReduce(tensor::HostView(&sum, 1), comm::ReduceOp::kSum, comm::Order::kTree, host);
  return sum;
}

}  // namespace moat::trainer
