// Boxes of pieces.
#include "checkpoint/box_reader.h"

#include <algorithm>

#include "checkpoint/file_check.h"

namespace moat::checkpoint {
namespace {

using parallel::Slice;

// Elements of `box` behind one index of `dim`.
int64_t RowElements(const Slice& box, size_t dim) {
  int64_t elements = 1;
  for (size_t d = dim + 1; d < box.begin.size(); ++d) elements *= box.end[d] - box.begin[d];
  return elements;
}

// The dims before `dim` of `stretch` are single indices.
void CutAt(size_t dim, Slice stretch, const std::vector<const Slice*>& pieces, int64_t largest,
           const std::function<void(const Slice&)>& use) {
  const size_t dims = stretch.begin.size();
  if (dim == dims) return use(stretch);
  int64_t row = 1;
  for (const Slice* piece : pieces) row = std::max(row, RowElements(*piece, dim));
  const bool deeper = row > largest && dim + 1 < dims;
  const int64_t step = deeper ? 1 : std::max<int64_t>(1, largest / row);
  const int64_t end = stretch.end[dim];
  for (int64_t at = stretch.begin[dim]; at < end; at += step) {
    stretch.begin[dim] = at;
    stretch.end[dim] = std::min(end, at + step);
    if (deeper) {
      CutAt(dim + 1, stretch, pieces, largest, use);
    } else {
      use(stretch);
    }
  }
}

// The smallest run of `piece` that holds `stretch`, as a box: whole in the dims behind the first
// one in which the stretch is more than a single index.
Slice RunOf(const Slice& piece, const Slice& stretch) {
  Slice run = stretch;
  size_t d = 0;
  while (d < run.begin.size() && run.end[d] - run.begin[d] == 1) ++d;
  for (++d; d < run.begin.size(); ++d) {
    run.begin[d] = piece.begin[d];
    run.end[d] = piece.end[d];
  }
  return run;
}

// Elements of `piece` before the first one of `run`.
int64_t OffsetOf(const Slice& piece, const Slice& run) {
  int64_t offset = 0;
  for (size_t d = 0; d < run.begin.size(); ++d) {
    offset = offset * (piece.end[d] - piece.begin[d]) + (run.begin[d] - piece.begin[d]);
  }
  return offset;
}

}  // namespace

void ForEachStretch(const Slice& common, const std::vector<const Slice*>& pieces, int64_t largest,
                    const std::function<void(const Slice&)>& use) {
  CutAt(0, common, pieces, largest, use);
}

void BoxReader::Check(const std::string& tensor) {
  for (const Piece& piece : manifest_.tensors.at(tensor).pieces) {
    auto found = open_.find(piece.file);
    if (found == open_.end()) {
      const FileEntry& entry = manifest_.files.at(piece.file);
      found = open_.emplace(piece.file, OpenChecked(directory_, piece.file, entry)).first;
    }
    CheckPiece(found->second, tensor, piece);
  }
}

std::vector<char> BoxReader::Read(const Piece& piece, core::DType dtype, const Slice& stretch) {
  const int64_t size = core::SizeOf(dtype);
  const Slice run = RunOf(piece.slice, stretch);
  std::vector<char> bytes(static_cast<size_t>(run.elements() * size));
  open_.at(piece.file)
      .ReadAt(piece.offset + OffsetOf(piece.slice, run) * size, bytes.data(), bytes.size());
  if (run == stretch) return bytes;
  std::vector<char> wanted(static_cast<size_t>(stretch.elements() * size));
  parallel::CopySlice(stretch, run, bytes.data(), stretch, wanted.data(), size);
  return wanted;
}

}  // namespace moat::checkpoint
