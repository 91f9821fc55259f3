// Verifying with several threads: each takes the next piece of any file.
#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "checkpoint/file_check.h"
#include "checkpoint/verify.h"
#include "core/error.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

struct Task {
  const std::string* tensor;
  const Piece* piece;
};

class Verifier {
 public:
  Verifier(const fs::path& directory, const Manifest& manifest, const VerifyProgress& progress)
      : directory_(directory), manifest_(manifest), progress_(progress) {
    for (const auto& [name, file] : manifest.files) all_ += file.bytes;
    for (const auto& [name, tensor] : manifest.tensors) {
      for (const Piece& piece : tensor.pieces) tasks_.push_back({&name, &piece});
    }
    // In the order of the disk, so that the threads read side by side.
    std::sort(tasks_.begin(), tasks_.end(), [](const Task& a, const Task& b) {
      return std::tie(a.piece->file, a.piece->offset) < std::tie(b.piece->file, b.piece->offset);
    });
  }

  std::vector<Damage> Run(int threads) {
    OpenFiles();
    {
      std::vector<std::jthread> workers;
      for (int i = 1; i < threads; ++i) workers.emplace_back([this] { Work(); });
      Work();
    }
    std::sort(damages_.begin(), damages_.end(), [](const Damage& a, const Damage& b) {
      return std::tie(a.file, a.tensor, a.slice) < std::tie(b.file, b.tensor, b.slice);
    });
    return std::move(damages_);
  }

 private:
  // A file that is not what the manifest means is a damage; its pieces are looked at all the same,
  // so that the tensors that it harms are named.
  void OpenFiles() {
    for (const auto& [name, entry] : manifest_.files) {
      try {
        open_.emplace(name, OpenChecked(directory_, name, entry));
      } catch (const core::Error& error) {
        Add({name, "", "", error.what()});
        OpenUnchecked(name);
      }
      Advance(entry.header_bytes);
    }
  }

  void OpenUnchecked(const std::string& name) {
    try {
      open_.emplace(name, core::FileReader(directory_ / name));
    } catch (const core::Error&) {
      // it has been said that the file cannot be read
    }
  }

  void Work() {
    for (size_t i = next_++; i < tasks_.size(); i = next_++) {
      const Piece& piece = *tasks_[i].piece;
      const auto file = open_.find(piece.file);
      if (file == open_.end()) {
        Advance(piece.bytes);
        continue;
      }
      try {
        CheckPiece(file->second, *tasks_[i].tensor, piece,
                   [this](const char*, int64_t bytes) { Advance(bytes); });
      } catch (const core::Error& error) {
        Add({piece.file, *tasks_[i].tensor, piece.slice.text(), error.what()});
      }
    }
  }

  void Advance(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    done_ += bytes;
    if (progress_) progress_(done_, all_);
  }

  void Add(Damage damage) {
    const std::lock_guard lock(mutex_);
    damages_.push_back(std::move(damage));
  }

  const fs::path& directory_;
  const Manifest& manifest_;
  const VerifyProgress& progress_;
  std::map<std::string, core::FileReader> open_;
  std::vector<Task> tasks_;
  std::atomic<size_t> next_ = 0;
  std::mutex mutex_;  // of all below
  int64_t done_ = 0;
  int64_t all_ = 0;
  std::vector<Damage> damages_;
};

}  // namespace

Verification VerifyAll(const fs::path& directory, int threads, const VerifyProgress& progress) {
  Verification result;
  Manifest manifest;
  try {
    manifest = ReadManifest(directory);
  } catch (const core::Error& error) {
    result.damages.push_back({kManifestName, "", "", error.what()});
    return result;
  }
  result.step = manifest.position.step;
  result.tensors = static_cast<int64_t>(manifest.tensors.size());
  result.files = static_cast<int64_t>(manifest.files.size());
  for (const auto& [name, file] : manifest.files) result.bytes += file.bytes;
  result.damages = Verifier(directory, manifest, progress).Run(threads);
  return result;
}

}  // namespace moat::checkpoint
