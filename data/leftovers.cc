// The index says what belongs to a data set.
#include "data/leftovers.h"

#include <set>
#include <string>
#include <vector>

#include "core/durable_file.h"

namespace moat::data {

namespace fs = std::filesystem;

int64_t RemoveUnnamedShards(const fs::path& directory, const Index& index) {
  constexpr const char* kShards = "shards";
  std::set<std::string> named;
  for (const ShardEntry& shard : index.shards) named.insert(shard.file);
  std::vector<fs::path> unnamed;
  for (const auto& entry : fs::directory_iterator(directory / kShards)) {
    if (!named.contains(fs::path(kShards) / entry.path().filename())) {
      unnamed.push_back(entry.path());
    }
  }
  for (const fs::path& path : unnamed) fs::remove(path);
  if (!unnamed.empty()) core::SyncDirectory(directory / kShards);
  return static_cast<int64_t>(unnamed.size());
}

int64_t RemoveLeftovers(const fs::path& directory, const Index& index) {
  std::vector<fs::path> work;
  const std::string prefix = std::string(".") + kAppendDirectory + ".importing-";
  for (const auto& entry : fs::directory_iterator(directory)) {
    if (entry.path().filename().string().starts_with(prefix)) work.push_back(entry.path());
  }
  for (const fs::path& path : work) fs::remove_all(path);
  if (!work.empty()) core::SyncDirectory(directory);
  return RemoveUnnamedShards(directory, index);
}

}  // namespace moat::data
