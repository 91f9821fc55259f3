// Reading shards, cold.
#include "programs/moat_probe/data_read.h"

#include <algorithm>
#include <filesystem>

#include "core/clock.h"
#include "core/durable_file.h"
#include "programs/moat_probe/disk.h"

namespace moat::programs {

namespace fs = std::filesystem;

double MeasureDataRead(const std::vector<std::string>& data, int part, int parts) {
  constexpr int64_t kMost = 64ll << 20, kLeast = 1ll << 20, kPiece = 1ll << 20;
  std::vector<fs::path> shards;
  for (const std::string& folder : data) {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.path().extension() == ".h5") shards.push_back(entry.path());
    }
  }
  std::sort(shards.begin(), shards.end());
  if (shards.empty()) return 0;
  std::rotate(shards.begin(), shards.begin() + std::ssize(shards) * part / parts, shards.end());
  std::vector<char> piece(kPiece);
  int64_t bytes = 0;
  double seconds = 0;
  for (const fs::path& shard : shards) {
    ForgetCached(shard);
    const core::FileReader file(shard);
    const double start = core::MonotonicSeconds();
    for (int64_t at = 0; at < file.size() && bytes < kMost; at += kPiece) {
      const int64_t n = std::min(kPiece, file.size() - at);
      file.ReadAt(at, piece.data(), static_cast<size_t>(n));
      bytes += n;
    }
    seconds += core::MonotonicSeconds() - start;
    if (bytes >= kMost) break;
  }
  return bytes < kLeast ? 0 : 1e-6 * static_cast<double>(bytes) / seconds;
}

}  // namespace moat::programs
