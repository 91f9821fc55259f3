// Copying slices, a stretch at a time, so that each is still in the cache when its CRC is taken.
#include "checkpoint/snapshot.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "checkpoint/slice_memory.h"
#include "core/crc32c.h"

namespace moat::checkpoint {
namespace {

constexpr int64_t kCopiedAtOnce = 256 << 10;  // bytes: fits a core's own cache
constexpr int64_t kShare = 16ll << 20;        // bytes that a thread takes at a time
constexpr int64_t kCopyAlignment = 64;        // of each copy

int64_t Room(const SliceToSave& slice) {
  return (slice.data.bytes().value + kCopyAlignment - 1) / kCopyAlignment * kCopyAlignment;
}

// A part of one slice, for one thread.
struct Share {
  size_t slice;
  const char* from;  // null: it is here
  char* to;
  int64_t bytes;
  uint32_t crc32c = 0;

  void Copy() {
    for (int64_t at = 0; at < bytes; at += kCopiedAtOnce) {
      const auto n = static_cast<size_t>(std::min(kCopiedAtOnce, bytes - at));
      crc32c = from == nullptr ? core::Crc32c(to + at, n, crc32c)
                               : core::CopyWithCrc32c(to + at, from + at, n, crc32c);
    }
  }
};

std::vector<Share> SharesOf(const std::vector<SliceToSave>& slices, char* memory) {
  std::vector<Share> shares;
  for (size_t i = 0; i < slices.size(); memory += Room(slices[i]), ++i) {
    const bool here = slices[i].data.device == core::DeviceKind::kCpu;
    const auto* const from = static_cast<const char*>(slices[i].data.data);
    const int64_t bytes = slices[i].data.bytes().value;
    for (int64_t at = 0; at < bytes; at += kShare) {
      shares.push_back({i, here ? from + at : nullptr, memory + at, std::min(kShare, bytes - at)});
    }
  }
  return shares;
}

// What lies on a device, to its places in `memory`.
void CopyFromDevice(const std::vector<SliceToSave>& slices, char* memory) {
  tensor::Stream* last = nullptr;
  for (const SliceToSave& slice : slices) {
    CheckMemory(slice);
    if (slice.data.device != core::DeviceKind::kCpu && !slice.data.empty()) {
      if (last != nullptr && last != slice.stream) last->Synchronize();
      last = slice.stream;
      tensor::Copy(slice.data, {memory, slice.data.count, slice.data.dtype}, *last);
    }
    memory += Room(slice);
  }
  if (last != nullptr) last->Synchronize();
}

}  // namespace

void Snapshot::Reserve(const std::vector<SliceToSave>& slices) {
  int64_t bytes = 0;
  for (const SliceToSave& slice : slices) bytes += Room(slice);
  if (memory_.count() < bytes) memory_ = tensor::Tensor(bytes, core::DType::kU8);
}

void Snapshot::Take(const std::vector<SliceToSave>& slices, int threads) {
  Reserve(slices);
  char* memory = static_cast<char*>(memory_.view().data);
  CopyFromDevice(slices, memory);
  std::vector<Share> shares = SharesOf(slices, memory);
  std::atomic<size_t> next = 0;
  const auto work = [&] {
    for (size_t i = next++; i < shares.size(); i = next++) shares[i].Copy();
  };
  {
    std::vector<std::jthread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(work);
    work();
  }
  slices_ = slices;
  for (SliceToSave& copy : slices_) {
    copy.data = {memory, copy.data.count, copy.data.dtype};
    copy.stream = nullptr;
    copy.crc32c = 0;
    memory += Room(copy);
  }
  for (const Share& share : shares) {
    uint32_t& crc = *slices_[share.slice].crc32c;
    crc = core::CombineCrc32c(crc, share.crc32c, share.bytes);
  }
}

}  // namespace moat::checkpoint
