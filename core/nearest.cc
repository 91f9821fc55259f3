// Edit distance for "did you mean".
#include "core/nearest.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace moat::core {
namespace {

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string NearestName(std::string_view name, const std::vector<std::string>& candidates) {
  size_t best = std::max<size_t>(2, name.size() / 3) + 1;
  std::string nearest;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(name, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::filesystem::path NearestPath(const std::filesystem::path& path,
                                  const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  std::map<std::string, fs::path> entries;  // in an order of their own
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, ignored)) {
    entries[entry.path().stem()] = folder / entry.path().filename();
  }
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries) names.push_back(name);
  const std::string nearest = NearestName(path.stem().string(), names);
  return nearest.empty() ? fs::path() : entries.at(nearest);
}

}  // namespace moat::core
