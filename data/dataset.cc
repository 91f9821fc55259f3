// A data set, opened.
#include "data/dataset.h"

#include "data/index.h"

namespace moat::data {

Dataset Dataset::Open(const std::filesystem::path& directory) {
  Index index = ReadIndex(directory);
  Dataset dataset;
  dataset.directory_ = directory;
  dataset.version_ = index.version;
  dataset.vocab_size_ = index.vocab_size;
  dataset.tokenizer_digest_ = std::move(index.tokenizer_digest);
  dataset.template_digest_ = std::move(index.template_digest);
  dataset.content_digest_ = std::move(index.content_digest);
  dataset.shards_ = std::move(index.shards);
  return dataset;
}

std::vector<ShardEntry> Dataset::ShardsOf(const std::string& split) const {
  std::vector<ShardEntry> found;
  for (const ShardEntry& shard : shards_) {
    if (shard.split == split) found.push_back(shard);
  }
  return found;
}

}  // namespace moat::data
