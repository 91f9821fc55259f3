// Reading and writing slices where they lie.
#include "checkpoint/slice_memory.h"

#include <vector>

namespace moat::checkpoint {
namespace {

template <typename SliceToMove>
void Check(const SliceToMove& slice) {
  MOAT_CHECK(slice.data.count == slice.slice.elements(),
             "memory of a slice must have its elements: " + slice.tensor);
  MOAT_CHECK(slice.data.device == core::DeviceKind::kCpu ||
                 (slice.stream != nullptr && slice.stream->device() == slice.data.device),
             "a slice on a device needs a stream of it: " + slice.tensor);
}

}  // namespace

void CheckMemory(const SliceToSave& slice) { Check(slice); }
void CheckMemory(const SliceToLoad& slice) { Check(slice); }

void Put(const parallel::Slice& box, const char* bytes, const SliceToLoad& slice) {
  const int64_t size = core::SizeOf(slice.data.dtype);
  const parallel::Slice common = parallel::Intersect(box, slice.slice);
  if (common.elements() == 0) return;
  if (slice.data.device == core::DeviceKind::kCpu) {
    return parallel::CopySlice(common, box, bytes, slice.slice, slice.data.data, size);
  }
  // Gathered first, so that the device gets few and long copies.
  std::vector<char> gathered(static_cast<size_t>(common.elements() * size));
  parallel::CopySlice(common, box, bytes, common, gathered.data(), size);
  parallel::ForEachRun(common, common, slice.slice, [&](int64_t from, int64_t to, int64_t n) {
    tensor::Copy({gathered.data() + from * size, n, slice.data.dtype}, slice.data.Range(to, n),
                 *slice.stream);
  });
  slice.stream->Synchronize();
}

}  // namespace moat::checkpoint
