// The file of one rank: written once, its CRCs taken from memory on the way.
#include "checkpoint/rank_file.h"

#include <algorithm>
#include <cstdio>

#include "checkpoint/safetensors.h"
#include "core/crc32c.h"
#include "core/durable_file.h"
#include "core/fault.h"

namespace moat::checkpoint {
namespace {

// Writes the slice and returns its CRC, a stretch at a time so that each is read from the cache.
uint32_t WriteWithCrc(core::FileWriter& writer, const SliceToSave& slice,
                      const std::stop_token& give_up) {
  constexpr int64_t kStretch = 1 << 20;
  const auto* const from = static_cast<const char*>(slice.data.data);
  const int64_t bytes = slice.data.bytes().value;
  uint32_t crc = 0;
  for (int64_t at = 0; at < bytes; at += kStretch) {
    if (give_up.stop_requested()) throw core::StorageError("the save was given up");
    const auto n = static_cast<size_t>(std::min(kStretch, bytes - at));
    crc = core::Crc32c(from + at, n, crc);
    writer.Write(from + at, n);
  }
  if (slice.crc32c && *slice.crc32c != crc) {
    throw core::StorageError("the bytes of tensor '" + slice.tensor + "', slice " +
                             slice.slice.text() +
                             ", changed in memory between the snapshot and the write; they are "
                             "not saved (memory or a processor may be failing)");
  }
  return crc;
}

// Larger elements first, so that every tensor is aligned to its element; empty ones need no bytes.
std::vector<const SliceToSave*> InFileOrder(const std::vector<SliceToSave>& slices) {
  std::vector<const SliceToSave*> order;
  for (const SliceToSave& slice : slices) {
    MOAT_CHECK(
        slice.data.count == slice.slice.elements() && slice.data.device == core::DeviceKind::kCpu,
        "a slice to save must have its elements in host memory: " + slice.tensor);
    if (slice.data.count > 0) order.push_back(&slice);
  }
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return core::SizeOf(a->data.dtype) > core::SizeOf(b->data.dtype);
  });
  return order;
}

}  // namespace

Manifest WriteRankFile(const std::filesystem::path& directory, const RunPosition& position,
                       const std::vector<SliceToSave>& slices, int rank,
                       const std::stop_token& give_up) {
  Manifest part;
  for (const SliceToSave& slice : slices) {
    part.tensors[slice.tensor] = {slice.data.dtype, slice.global, {}};
  }
  const std::vector<const SliceToSave*> order = InFileOrder(slices);
  if (order.empty()) return part;
  SafetensorsHeader header;
  header.metadata = {{"format", "moat.checkpoint"},
                     {"run_id", position.run_id},
                     {"step", std::to_string(position.step)},
                     {"writer", std::to_string(rank)}};
  for (const SliceToSave* slice : order) {
    header.entries.push_back(
        {slice->tensor + "@" + slice->slice.text(), slice->data.dtype, slice->slice.shape(), 0, 0});
  }
  core::FaultPoint("checkpoint.prepared", rank);
  const std::string head = SafetensorsHeaderText(&header);
  char name[64];
  std::snprintf(name, sizeof name, "rank-%05d.safetensors", rank);

  core::FileWriter writer(directory / name);
  writer.Write(head);
  for (size_t i = 0; i < order.size(); ++i) {
    const SliceToSave& slice = *order[i];
    Piece piece{slice.slice, name, writer.written(), slice.data.bytes().value, 0};
    piece.crc32c = WriteWithCrc(writer, slice, give_up);
    TensorEntry& tensor = part.tensors[slice.tensor];
    MOAT_CHECK(tensor.dtype == slice.data.dtype && tensor.shape == slice.global,
               "slices of one tensor must agree about its shape and dtype: " + slice.tensor);
    tensor.pieces.push_back(std::move(piece));
  }
  core::FaultPoint("checkpoint.before_file_sync", rank);
  part.files[name] = {writer.written(), static_cast<int64_t>(head.size()),
                      core::Crc32c(head.data(), head.size())};
  writer.SyncAndClose();
  core::FaultPoint("checkpoint.file_written", rank);
  return part;
}

}  // namespace moat::checkpoint
