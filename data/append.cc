// Choices of the data set, and the step to its new version.
#include "data/append.h"

#include <algorithm>

#include "core/digest.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/fault.h"
#include "data/user_key.h"

namespace moat::data {

namespace fs = std::filesystem;

AppendBase::AppendBase(const fs::path& directory, const std::string& key_file)
    : dataset_(Dataset::Open(directory)), index_(ReadIndex(directory)) {
  if (!key_file.empty() && fs::exists(directory / kUserKeyFile)) {
    throw core::ConfigError("--user_key=" + key_file + " does not go with --append: " +
                            directory.string() + " has a user.key of its own; leave the flag out");
  }
  key_ = ReadUserKey(directory, key_file);
  const std::string& check = index_.provenance.key_check;
  if (!check.empty() && check != KeyCheck(key_)) {
    throw core::ConfigError("--user_key=" + key_file + " is not the key that the users of " +
                            directory.string() + " were hashed with; name that one");
  }
}

configs::ImportConfig AppendBase::Resolve(configs::ImportConfig config) const {
  const ImportChoices& choices = index_.provenance.choices;
  if (config.dedup.empty()) config.dedup = choices.dedup;
  if (config.near_threshold == 0) config.near_threshold = choices.near_threshold;
  config.validation_fraction = choices.validation_fraction;
  config.test_fraction = choices.test_fraction;
  config.seed = choices.seed;
  config.tokenizer = dataset_.tokenizer_path().string();
  return config;
}

SplitRequest AppendBase::Request() const {
  const ImportChoices& choices = index_.provenance.choices;
  const std::string& rule = index_.provenance.split_rule;
  SplitRequest request;
  request.by = rule.starts_with("by time") ? "time" : "auto";
  request.validation_fraction = choices.validation_fraction;
  request.test_fraction = choices.test_fraction;
  request.seed = choices.seed;
  request.users = rule.find("by user") != std::string::npos;
  request.key = key_;
  return request;
}

bool AppendBase::Holds(const std::string& import_digest) const {
  const std::vector<AppendRecord>& appends = index_.provenance.appends;
  return index_.provenance.import_digest == import_digest ||
         std::any_of(appends.begin(), appends.end(), [&](const AppendRecord& append) {
           return append.import_digest == import_digest;
         });
}

std::string AppendBase::WorkDigest(const std::string& import_digest) const {
  return core::Hex(core::Sha256Of(import_digest + "\n" + index_.content_digest + "\n" +
                                  std::to_string(index_.history.size()) + "\n" +
                                  core::Hex(core::Sha256Of(key_))));
}

int64_t AppendBase::Commit(const fs::path& work, const AppendRecord& record,
                           const ImportState& state, const std::vector<ShardEntry>& shards) {
  int64_t interactions = 0;
  for (const ShardEntry& shard : shards) interactions += shard.interactions;
  index_.shards.insert(index_.shards.end(), shards.begin(), shards.end());
  if (!shards.empty()) AddVersion(&index_, "append", interactions);
  AppendRecord append = record;
  append.version = static_cast<int>(index_.history.size());
  index_.provenance.appends.push_back(append);
  std::map<std::string, int64_t>& counts = index_.provenance.counts;
  for (const auto& [what, count] : state.counts) counts[what] += count;
  counts["records quarantined"] += state.quarantined;
  counts["text bytes"] += state.text_bytes;
  if (const fs::path bad = work / "quarantine.jsonl"; fs::exists(bad)) {
    const std::string name = "quarantine.v" + std::to_string(append.version) + ".jsonl";
    core::WriteFileAtomically(dataset_.directory() / name, core::ReadWholeFile(bad));
  }
  core::FaultPoint("append.before_index");
  WriteIndex(dataset_.directory(), index_);
  core::FaultPoint("append.after_index");
  return interactions;
}

}  // namespace moat::data
