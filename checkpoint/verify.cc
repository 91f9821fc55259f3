// Checking what a manifest says against the bytes on disk, and choosing the newest intact
// checkpoint.
#include <algorithm>
#include <map>

#include "checkpoint/candidates.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/file_check.h"
#include "checkpoint/rank_outcome.h"
#include "checkpoint/safetensors.h"
#include "core/crc32c.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

// " (its header says: run coffee, step 100, writer 1)", or "" when there is no readable header.
std::string Origin(const fs::path& path) {
  try {
    auto metadata = ReadSafetensorsHeader(path).header.metadata;
    if (!metadata.contains("run_id")) return "";
    return " (its header says: run " + metadata["run_id"] + ", step " + metadata["step"] +
           ", writer " + metadata["writer"] + ")";
  } catch (const core::Error&) {
    return "";
  }
}

// Checks the files with index `part` modulo `parts`, in order of name.
void VerifyPart(const fs::path& directory, const Manifest& manifest, int part, int parts) {
  std::map<std::string, std::vector<std::pair<std::string, const Piece*>>> by_file;
  for (const auto& [name, tensor] : manifest.tensors) {
    for (const Piece& piece : tensor.pieces) by_file[piece.file].push_back({name, &piece});
  }
  int index = 0;
  for (const auto& [name, entry] : manifest.files) {
    if (index++ % parts != part) continue;
    const core::FileReader file = OpenChecked(directory, name, entry);
    for (const auto& [tensor, piece] : by_file[name]) CheckPiece(file, tensor, *piece);
  }
}

}  // namespace

core::FileReader OpenChecked(const fs::path& directory, const std::string& name,
                             const FileEntry& entry) {
  const fs::path path = directory / name;
  std::error_code error;
  if (!fs::exists(path, error) && !error) {
    throw core::DataError(path.string() + " is missing; the checkpoint is not complete");
  }
  core::FileReader file(path);
  if (file.size() != entry.bytes) {
    throw core::DataError(path.string() + " has " + std::to_string(file.size()) + " bytes, " +
                          std::to_string(entry.bytes) + " were written" + Origin(path));
  }
  std::string header(static_cast<size_t>(entry.header_bytes), '\0');
  file.ReadAt(0, header.data(), header.size());
  if (core::Crc32c(header.data(), header.size()) != entry.header_crc32c) {
    throw core::DataError(path.string() +
                          " has a damaged header, or belongs to another checkpoint" + Origin(path));
  }
  return file;
}

PieceCheck::PieceCheck(const core::FileReader& file, const std::string& tensor, const Piece& piece)
    : file_(file), tensor_(tensor), piece_(piece) {
  if (piece.offset + piece.bytes > file.size()) {
    throw core::DataError(Subject() + ", lie beyond the file's end");
  }
}

const char* PieceCheck::Next(int64_t bytes) {
  if (std::ssize(stretch_) < bytes) stretch_.resize(static_cast<size_t>(bytes));
  ReadTo(bytes, stretch_.data());
  return stretch_.data();
}

void PieceCheck::ReadTo(int64_t bytes, char* to) {
  const auto size = static_cast<size_t>(bytes);
  file_.ReadAt(piece_.offset + at_, to, size);
  crc_ = core::Crc32c(to, size, crc_);
  at_ += bytes;
}

void PieceCheck::Finish() const {
  MOAT_CHECK(at_ == piece_.bytes, "a piece is checked when all of it was read");
  if (crc_ == piece_.crc32c) return;
  throw core::DataError(Subject() + ", are damaged (their CRC differs)");
}

std::string PieceCheck::Subject() const {
  return file_.path().string() + ": the bytes of tensor '" + tensor_ + "', slice " +
         piece_.slice.text();
}

void CheckPiece(const core::FileReader& file, const std::string& tensor, const Piece& piece,
                const std::function<void(const char* data, int64_t bytes)>& use) {
  constexpr int64_t kStretch = 1 << 20;
  PieceCheck check(file, tensor, piece);
  for (int64_t at = 0; at < piece.bytes; at += kStretch) {
    const int64_t bytes = std::min(kStretch, piece.bytes - at);
    const char* const stretch = check.Next(bytes);
    if (use) use(stretch, bytes);
  }
  check.Finish();
}

void Verify(const fs::path& directory) { VerifyPart(directory, ReadManifest(directory), 0, 1); }

std::optional<fs::path> ChooseNewest(const fs::path& root, comm::Communicator& world) {
  Candidates candidates(root, world);
  while (const auto candidate = candidates.Next()) {
    const RankOutcome failure = FirstFailure(world, RankOutcome::Of([&] {
                                               VerifyPart(candidate->directory, candidate->manifest,
                                                          world.rank(), world.size());
                                               return "";
                                             }));
    if (failure.ok()) return candidate->directory;
    candidates.PassOver(failure.text);
  }
  return std::nullopt;
}

}  // namespace moat::checkpoint
