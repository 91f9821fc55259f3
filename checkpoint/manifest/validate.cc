// What must hold in a manifest: everything is tiled, and all sizes agree.
#include <algorithm>

#include "checkpoint/manifest/manifest.h"
#include "core/error.h"

namespace moat::checkpoint {
namespace {

[[noreturn]] void Fail(const std::string& where, const std::string& what) {
  throw core::DataError(where + ": " + what);
}

// The number of elements, refusing shapes whose bytes would not fit 63 bits.
int64_t Elements(const core::Shape& shape, core::DType dtype, const std::string& subject) {
  int64_t bytes = core::SizeOf(dtype);
  for (const int64_t extent : shape.dims()) {
    if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes)) {
      throw core::DataError(subject + " has the impossible shape " + shape.text());
    }
  }
  return shape.elements();
}

bool Overlap(const parallel::Slice& a, const parallel::Slice& b) {
  return parallel::Intersect(a, b).elements() > 0;
}

void CheckPiece(const TensorEntry& tensor, const Piece& piece,
                const std::map<std::string, FileEntry>& files, const std::string& subject) {
  const parallel::Slice& slice = piece.slice;
  bool inside = slice.begin.size() == tensor.shape.dims().size();
  for (size_t d = 0; inside && d < slice.begin.size(); ++d) {
    inside = 0 <= slice.begin[d] && slice.begin[d] < slice.end[d] &&
             slice.end[d] <= tensor.shape.dims()[d];
  }
  if (!inside) {
    throw core::DataError(subject + ": piece " + slice.text() + " is not inside of shape " +
                          tensor.shape.text());
  }
  if (piece.bytes != slice.elements() * core::SizeOf(tensor.dtype)) {
    throw core::DataError(subject + ": piece " + slice.text() + " of " + core::Name(tensor.dtype) +
                          " cannot have " + std::to_string(piece.bytes) + " bytes");
  }
  if (!files.contains(piece.file)) {
    throw core::DataError(subject + ": piece " + slice.text() + " is in '" + piece.file +
                          "', which is not listed");
  }
}

// No two pieces share an element, and together they have as many as the tensor.
void CheckTiling(const TensorEntry& tensor, int64_t elements, const std::string& subject) {
  std::vector<const parallel::Slice*> slices;
  int64_t covered = 0;
  for (const Piece& piece : tensor.pieces) {
    slices.push_back(&piece.slice);
    covered += piece.slice.elements();
  }
  if (!tensor.shape.dims().empty()) {
    std::sort(slices.begin(), slices.end(),
              [](const auto* a, const auto* b) { return a->begin[0] < b->begin[0]; });
  }
  for (size_t i = 0; i < slices.size(); ++i) {
    for (size_t j = i + 1; j < slices.size(); ++j) {
      if (!tensor.shape.dims().empty() && slices[j]->begin[0] >= slices[i]->end[0]) break;
      if (Overlap(*slices[i], *slices[j])) {
        throw core::DataError(subject + ": pieces " + slices[i]->text() + " and " +
                              slices[j]->text() + " overlap");
      }
    }
  }
  if (covered != elements) {
    throw core::DataError(subject + ": pieces hold " + std::to_string(covered) + " of " +
                          std::to_string(elements) + " elements of shape " + tensor.shape.text());
  }
}

bool IsPlainName(const std::string& name) {
  return !name.empty() && name[0] != '.' && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos && name != kManifestName;
}

}  // namespace

void Manifest::Validate(const std::string& where) const {
  if (position.step < 0) Fail(where, "negative step");
  std::map<std::string, std::vector<const Piece*>> by_file;
  for (const auto& [name, file] : files) {
    if (!IsPlainName(name)) Fail(where, "'" + name + "' is not the name of a file beside it");
    by_file[name];
  }
  for (const auto& [name, tensor] : tensors) {
    const std::string subject = where + ": tensor '" + name + "'";
    const int64_t elements = Elements(tensor.shape, tensor.dtype, subject);
    for (const Piece& piece : tensor.pieces) {
      CheckPiece(tensor, piece, files, subject);
      by_file[piece.file].push_back(&piece);
    }
    CheckTiling(tensor, elements, subject);
  }
  for (auto& [name, pieces] : by_file) {
    const FileEntry& file = files.at(name);
    std::sort(pieces.begin(), pieces.end(),
              [](const Piece* a, const Piece* b) { return a->offset < b->offset; });
    int64_t at = file.header_bytes;
    if (at < 8) Fail(where, "file '" + name + "' has no header");
    for (const Piece* piece : pieces) {
      if (piece->offset != at) {
        Fail(where, "file '" + name + "' is not tiled: a piece begins at byte " +
                        std::to_string(piece->offset) + " where " + std::to_string(at) +
                        " was expected");
      }
      at += piece->bytes;
    }
    if (at != file.bytes) {
      Fail(where, "file '" + name + "' has " + std::to_string(file.bytes) +
                      " bytes, but its pieces end at " + std::to_string(at));
    }
  }
}

}  // namespace moat::checkpoint
