// Shares of files: each byte written once, its CRCs taken from memory on the way.
#include "checkpoint/rank_file.h"

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <utility>

#include "checkpoint/slice_memory.h"
#include "core/crc32c.h"
#include "core/durable_file.h"
#include "core/fault.h"

namespace moat::checkpoint {
namespace {

// Writes the slice and returns its CRC, a stretch at a time so that each is read from the cache.
uint32_t WriteWithCrc(core::FileWriter& writer, const SliceToSave& slice,
                      const std::stop_token& give_up) {
  constexpr int64_t kStretch = 1 << 20;
  uint32_t crc = 0;
  ForEachStretchOfBytes(slice, kStretch, [&](const char* bytes, int64_t count) {
    if (give_up.stop_requested()) throw core::StorageError("the save was given up");
    crc = core::Crc32c(bytes, static_cast<size_t>(count), crc);
    writer.Write(bytes, static_cast<size_t>(count));
  });
  if (slice.crc32c && *slice.crc32c != crc) {
    throw core::StorageError("the bytes of tensor '" + slice.tensor + "', slice " +
                             slice.slice.text() +
                             ", changed in memory between the snapshot and the write; they are "
                             "not saved (memory or a processor may be failing)");
  }
  return crc;
}

std::vector<FileLayout::Entry> EntriesOf(const std::vector<SliceToSave>& slices, int rank) {
  std::vector<FileLayout::Entry> entries;
  for (size_t i = 0; i < slices.size(); ++i) {
    const SliceToSave& slice = slices[i];
    if (slice.slice.elements() == 0) continue;
    entries.push_back(
        {{slice.tensor + "@" + slice.slice.text(), slice.data.dtype, slice.slice.shape(), 0, 0},
         rank,
         i});
  }
  return entries;
}

std::string Numbered(const char* pattern, int number) {
  char name[64];
  std::snprintf(name, sizeof name, pattern, number);
  return name;
}

FileLayout InOrder(std::string name, int number, std::vector<FileLayout::Entry> entries) {
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    return core::SizeOf(a.tensor.dtype) > core::SizeOf(b.tensor.dtype);
  });
  return {std::move(name), number, std::move(entries)};
}

// Entries as lines: index, dtype, dims, name.
std::string ToText(const std::vector<FileLayout::Entry>& entries) {
  std::string text;
  for (const FileLayout::Entry& entry : entries) {
    text += std::to_string(entry.slice) + ' ' + core::Name(entry.tensor.dtype) + ' ';
    for (const int64_t dim : entry.tensor.shape.dims()) text += std::to_string(dim) + ',';
    text += ' ' + entry.tensor.name + '\n';
  }
  return text;
}

std::vector<FileLayout::Entry> FromText(const std::string& text, int writer) {
  std::vector<FileLayout::Entry> entries;
  std::istringstream lines(text);
  std::string line;
  while (std::getline(lines, line)) {
    std::istringstream words(line);
    FileLayout::Entry entry;
    std::string dtype, dims;
    words >> entry.slice >> dtype;
    words.get();
    std::getline(words, dims, ' ');
    std::getline(words, entry.tensor.name);
    std::vector<int64_t> sizes;
    std::istringstream numbers(dims);
    for (std::string number; std::getline(numbers, number, ',');) {
      sizes.push_back(std::stoll(number));
    }
    entry.tensor.dtype = core::ParseDType(dtype);
    entry.tensor.shape = core::Shape(sizes);
    entry.writer = writer;
    entries.push_back(std::move(entry));
  }
  return entries;
}

void CheckSlice(const SliceToSave& slice, const FileLayout::Entry& entry) {
  CheckMemory(slice);
  MOAT_CHECK(entry.tensor.name == slice.tensor + "@" + slice.slice.text() &&
                 entry.tensor.dtype == slice.data.dtype,
             "slices must be as they were when the file was laid out: " + slice.tensor);
}

SafetensorsHeader HeaderOf(const RunPosition& position, const FileLayout& layout) {
  SafetensorsHeader header;
  header.metadata = {{"format", "moat.checkpoint"},
                     {"run_id", position.run_id},
                     {"step", std::to_string(position.step)},
                     {"writer", std::to_string(layout.header_of)}};
  for (const FileLayout::Entry& entry : layout.entries) header.entries.push_back(entry.tensor);
  return header;
}

}  // namespace

std::string RankFileName(int rank) { return Numbered("rank-%05d.safetensors", rank); }

FileLayout LayoutAlone(const std::vector<SliceToSave>& slices, int rank) {
  return InOrder(RankFileName(rank), rank, EntriesOf(slices, rank));
}

FileLayout LayoutTogether(const std::vector<SliceToSave>& slices, comm::Communicator& node) {
  const std::vector<comm::Member>& members = node.members();
  const std::vector<std::string> texts = node.AllGatherText(ToText(EntriesOf(slices, 0)));
  std::vector<FileLayout::Entry> all;
  for (size_t r = 0; r < texts.size(); ++r) {
    const auto theirs = FromText(texts[r], members[r].world_rank);
    all.insert(all.end(), theirs.begin(), theirs.end());
  }
  const int first = members[0].world_rank;
  return InOrder(Numbered("node-%05d.safetensors", first), first, std::move(all));
}

Manifest WriteShare(const std::filesystem::path& directory, const RunPosition& position,
                    const std::vector<SliceToSave>& slices, const FileLayout& layout, int rank,
                    const std::stop_token& give_up, WhenDone done) {
  Manifest part;
  for (const SliceToSave& slice : slices) {
    const TensorEntry named{slice.data.dtype, slice.global, {}};
    const TensorEntry& tensor = part.tensors.try_emplace(slice.tensor, named).first->second;
    MOAT_CHECK(tensor.dtype == slice.data.dtype && tensor.shape == slice.global,
               "slices of one tensor must agree about its shape and dtype: " + slice.tensor);
  }
  const bool writes_header = rank == layout.header_of;
  const bool writes = std::any_of(layout.entries.begin(), layout.entries.end(),
                                  [&](const auto& entry) { return entry.writer == rank; });
  if (layout.entries.empty() || (!writes && !writes_header)) return part;
  SafetensorsHeader header = HeaderOf(position, layout);
  core::FaultPoint("checkpoint.prepared", rank);
  const std::string head = SafetensorsHeaderText(&header);
  const auto head_bytes = static_cast<int64_t>(head.size());

  core::FileWriter writer(directory / layout.name, core::FileWriter::kShared);
  if (writes_header) {
    writer.SetSize(head_bytes + header.entries.back().end);
    writer.Write(head);
  }
  for (size_t i = 0; i < layout.entries.size(); ++i) {
    const FileLayout::Entry& entry = layout.entries[i];
    if (entry.writer != rank) continue;
    const SliceToSave& slice = slices[entry.slice];
    CheckSlice(slice, entry);
    Piece piece{slice.slice, layout.name, head_bytes + header.entries[i].begin,
                slice.data.bytes().value, 0};
    writer.Seek(piece.offset);
    piece.crc32c = WriteWithCrc(writer, slice, give_up);
    part.tensors[slice.tensor].pieces.push_back(std::move(piece));
  }
  core::FaultPoint("checkpoint.before_file_sync", rank);
  if (writes_header) {
    part.files[layout.name] = {head_bytes + header.entries.back().end, head_bytes,
                               core::Crc32c(head.data(), head.size())};
  }
  if (done == WhenDone::kSync) writer.SyncAndClose();
  core::FaultPoint("checkpoint.file_written", rank);
  return part;
}

}  // namespace moat::checkpoint
