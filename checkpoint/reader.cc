// Loading: the pieces that overlap what is wanted, each read once and checked on the way.
#include <map>
#include <string>

#include "checkpoint/box_reader.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/file_check.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

void CheckWanted(const SliceToLoad& wanted, const Manifest& manifest, const std::string& where) {
  const std::string subject = where + ": tensor '" + wanted.tensor + "'";
  const auto found = manifest.tensors.find(wanted.tensor);
  if (found == manifest.tensors.end()) {
    throw core::DataError(subject + " is not in the checkpoint");
  }
  const TensorEntry& saved = found->second;
  if (saved.shape != wanted.global) {
    throw core::DataError(subject + " was saved with shape " + saved.shape.text() +
                          ", this run needs " + wanted.global.text());
  }
  if (saved.dtype != wanted.data.dtype) {
    throw core::DataError(subject + " was saved as " + core::Name(saved.dtype) +
                          ", this run needs " + core::Name(wanted.data.dtype));
  }
  const parallel::Slice whole = parallel::Slice::Whole(wanted.global);
  MOAT_CHECK(wanted.slice.begin.size() == whole.begin.size() &&
                 parallel::Intersect(wanted.slice, whole) == wanted.slice,
             "a wanted slice must lie inside its tensor");
  MOAT_CHECK(
      wanted.slice.elements() == wanted.data.count && wanted.data.device == core::DeviceKind::kCpu,
      "memory for a wanted slice must have its size, on the host");
}

// The files of one checkpoint, each opened and checked at its first use.
class Files {
 public:
  Files(const fs::path& directory, const Manifest& manifest)
      : directory_(directory), manifest_(manifest) {}
  const core::FileReader& Get(const std::string& name) {
    const auto found = open_.find(name);
    if (found != open_.end()) return found->second;
    return open_.emplace(name, OpenChecked(directory_, name, manifest_.files.at(name)))
        .first->second;
  }

 private:
  const fs::path& directory_;
  const Manifest& manifest_;
  std::map<std::string, core::FileReader> open_;
};

// Copies what `wanted` want of a piece, a stretch at a time while it is in the cache; the piece's
// CRC is compared at the end, and nobody has used a byte by then.
void LoadPiece(const core::FileReader& file, const std::string& name, const Piece& piece,
               const std::vector<const SliceToLoad*>& wanted, int64_t element_size) {
  constexpr int64_t kStretchBytes = 1 << 18;
  PieceCheck check(file, name, piece);
  ForEachStretch(piece.slice, {&piece.slice}, kStretchBytes / element_size,
                 [&](const parallel::Slice& stretch) {
                   const char* const bytes = check.Next(stretch.elements() * element_size);
                   for (const SliceToLoad* one : wanted) {
                     const parallel::Slice common = parallel::Intersect(stretch, one->slice);
                     parallel::CopySlice(common, stretch, bytes, one->slice, one->data.data,
                                         element_size);
                   }
                 });
  check.Finish();
}

}  // namespace

void Load(const fs::path& directory, const Manifest& manifest,
          const std::vector<SliceToLoad>& slices) {
  std::map<std::string, std::vector<const SliceToLoad*>> by_tensor;
  for (const SliceToLoad& wanted : slices) {
    CheckWanted(wanted, manifest, directory.string());
    by_tensor[wanted.tensor].push_back(&wanted);
  }
  Files files(directory, manifest);
  for (const auto& [name, all_wanted] : by_tensor) {
    const TensorEntry& tensor = manifest.tensors.at(name);
    for (const Piece& piece : tensor.pieces) {
      std::vector<const SliceToLoad*> overlapping;
      for (const SliceToLoad* wanted : all_wanted) {
        if (parallel::Intersect(piece.slice, wanted->slice).elements() > 0) {
          overlapping.push_back(wanted);
        }
      }
      if (overlapping.empty()) continue;
      LoadPiece(files.Get(piece.file), name, piece, overlapping, core::SizeOf(tensor.dtype));
    }
  }
}

}  // namespace moat::checkpoint
