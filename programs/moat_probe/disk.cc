// Timing the durable writes that checkpoints are made of.
#include "programs/moat_probe/disk.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/fault.h"

namespace moat::programs {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPieces = 64, kPiece = size_t{1} << 20;

// The probe's file, and the folders that were made for it.
class ProbeFile {
 public:
  explicit ProbeFile(const fs::path& folder)
      : path_(folder / (".probe-" + std::to_string(getpid()))) {
    for (fs::path at = folder; !at.empty() && !fs::exists(at); at = at.parent_path()) {
      made_.push_back(at);
    }
    core::MakeDirectories(folder);
  }
  ~ProbeFile() {
    std::error_code ignored;
    fs::remove(path_, ignored);
    for (const fs::path& folder : made_) fs::remove(folder, ignored);  // if it is empty
  }
  ProbeFile(const ProbeFile&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
  std::vector<fs::path> made_;
};

double WriteSeconds(const fs::path& path, const std::vector<char>& piece, size_t pieces, int rank) {
  const double start = core::MonotonicSeconds();
  core::FileWriter file(path);
  for (size_t i = 0; i < pieces; ++i) {
    core::FaultPoint("probe.disk", rank);
    file.Write(piece.data(), piece.size());
  }
  file.SyncAndClose();
  return core::MonotonicSeconds() - start;
}

}  // namespace

void ForgetCached(const fs::path& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
}

DiskRates MeasureDisk(const fs::path& folder, int rank) {
  const ProbeFile probe(folder);
  DiskRates rates;
  std::vector<char> piece(kPiece);
  for (size_t i = 0; i < piece.size(); ++i) piece[i] = static_cast<char>(i * i >> 7);
  const double megabytes = 1e-6 * static_cast<double>(kPieces * kPiece);
  rates.write_mb = megabytes / WriteSeconds(probe.path(), piece, kPieces, rank);

  ForgetCached(probe.path());
  std::vector<char> back(kPiece);
  bool same = true;
  const core::FileReader reader(probe.path());
  const double start = core::MonotonicSeconds();
  for (size_t i = 0; i < kPieces; ++i) {
    reader.ReadAt(static_cast<int64_t>(i * kPiece), back.data(), kPiece);
    same = same && back == piece;
  }
  rates.read_mb = megabytes / (core::MonotonicSeconds() - start);
  if (!same)
    throw core::StorageError(probe.path().string() + " gave back other bytes than were written");

  std::array<double, 5> syncs;
  piece.resize(4096);
  for (double& seconds : syncs) seconds = WriteSeconds(probe.path(), piece, 1, rank);
  std::nth_element(syncs.begin(), syncs.begin() + 2, syncs.end());
  rates.sync_seconds = syncs[2];
  rates.free = core::Bytes(static_cast<int64_t>(fs::space(probe.path()).available));
  return rates;
}

}  // namespace moat::programs
