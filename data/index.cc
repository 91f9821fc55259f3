// index.json as text, and everything about it that can be wrong.
#include "data/index.h"

#include <nlohmann/json.hpp>

#include "core/clock.h"
#include "core/digest.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "data/shard_format.h"

namespace moat::data {
namespace {

using nlohmann::json;

json ToJson(const ShardEntry& shard) {
  json arrays = json::array();
  for (const StoredArray& array : shard.arrays) {
    arrays.push_back({{"name", array.name},
                      {"dtype", array.dtype},
                      {"count", array.count},
                      {"offset", array.offset},
                      {"crc32c", array.crc32c}});
  }
  return {{"file", shard.file},
          {"split", shard.split},
          {"interactions", shard.interactions},
          {"segments", shard.segments},
          {"tokens", shard.tokens},
          {"content_digest", shard.content_digest},
          {"bytes", shard.bytes},
          {"arrays", arrays}};
}

ShardEntry ShardFromJson(const json& value) {
  ShardEntry shard;
  value.at("file").get_to(shard.file);
  value.at("split").get_to(shard.split);
  value.at("interactions").get_to(shard.interactions);
  value.at("segments").get_to(shard.segments);
  value.at("tokens").get_to(shard.tokens);
  value.at("content_digest").get_to(shard.content_digest);
  value.at("bytes").get_to(shard.bytes);
  for (const json& item : value.at("arrays")) {
    StoredArray array;
    item.at("name").get_to(array.name);
    item.at("dtype").get_to(array.dtype);
    item.at("count").get_to(array.count);
    item.at("offset").get_to(array.offset);
    item.at("crc32c").get_to(array.crc32c);
    shard.arrays.push_back(std::move(array));
  }
  return shard;
}

json SplitCounts(const Index& index) {
  json splits = json::object();
  for (const ShardEntry& shard : index.shards) {
    json& split = splits[shard.split];
    if (split.is_null()) split = json::object();
    split["shards"] = split.value("shards", 0) + 1;
    split["interactions"] = split.value("interactions", int64_t{0}) + shard.interactions;
    split["segments"] = split.value("segments", int64_t{0}) + shard.segments;
    split["tokens"] = split.value("tokens", int64_t{0}) + shard.tokens;
  }
  return splits;
}

json ToJson(const DatasetVersion& version) {
  return {{"version", version.number},
          {"kind", version.kind},
          {"created_micros", version.created_micros},
          {"shards", version.shards},
          {"interactions", version.interactions},
          {"content_digests", version.digests}};
}

DatasetVersion VersionFromJson(const json& value) {
  DatasetVersion version;
  value.at("version").get_to(version.number);
  value.at("kind").get_to(version.kind);
  value.at("created_micros").get_to(version.created_micros);
  value.at("shards").get_to(version.shards);
  value.at("interactions").get_to(version.interactions);
  value.at("content_digests").get_to(version.digests);
  return version;
}

json ToJson(const Provenance& provenance) {
  json appends = json::array();
  for (const AppendRecord& append : provenance.appends) {
    appends.push_back({{"import_digest", append.import_digest},
                       {"inputs", append.inputs},
                       {"version", append.version}});
  }
  const ImportChoices& choices = provenance.choices;
  return {{"import_digest", provenance.import_digest},
          {"inputs", provenance.inputs},
          {"split_rule", provenance.split_rule},
          {"created_micros", provenance.created_micros},
          {"counts", provenance.counts},
          {"choices",
           {{"dedup", choices.dedup},
            {"near_threshold", choices.near_threshold},
            {"validation_fraction", choices.validation_fraction},
            {"test_fraction", choices.test_fraction},
            {"seed", choices.seed}}},
          {"key_check", provenance.key_check},
          {"appends", appends}};
}

Provenance ProvenanceFromJson(const json& value) {
  Provenance provenance;
  value.at("import_digest").get_to(provenance.import_digest);
  value.at("inputs").get_to(provenance.inputs);
  value.at("split_rule").get_to(provenance.split_rule);
  value.at("created_micros").get_to(provenance.created_micros);
  value.at("counts").get_to(provenance.counts);
  if (value.contains("choices")) {  // not before there were appends
    const json& choices = value.at("choices");
    choices.at("dedup").get_to(provenance.choices.dedup);
    choices.at("near_threshold").get_to(provenance.choices.near_threshold);
    choices.at("validation_fraction").get_to(provenance.choices.validation_fraction);
    choices.at("test_fraction").get_to(provenance.choices.test_fraction);
    choices.at("seed").get_to(provenance.choices.seed);
  }
  provenance.key_check = value.value("key_check", "");
  for (const json& append : value.value("appends", json::array())) {
    provenance.appends.push_back({append.at("import_digest").get<std::string>(),
                                  append.at("inputs").get<std::vector<std::string>>(),
                                  append.at("version").get<int>()});
  }
  return provenance;
}

json ToJson(const Index& index) {
  json shards = json::array();
  for (const ShardEntry& shard : index.shards) shards.push_back(ToJson(shard));
  json history = json::array();
  for (const DatasetVersion& version : index.history) history.push_back(ToJson(version));
  return {{"format", kIndexFormat},
          {"schema", kIndexVersion},
          {"version", index.history.size()},
          {"history", history},
          {"vocab_size", index.vocab_size},
          {"tokenizer_digest", index.tokenizer_digest},
          {"template_digest", index.template_digest},
          {"content_digest", index.content_digest},
          {"splits", SplitCounts(index)},
          {"shards", shards},
          {"provenance", ToJson(index.provenance)}};
}

Index FromJson(const json& value) {
  Index index;
  value.at("vocab_size").get_to(index.vocab_size);
  value.at("tokenizer_digest").get_to(index.tokenizer_digest);
  value.at("template_digest").get_to(index.template_digest);
  value.at("content_digest").get_to(index.content_digest);
  for (const json& shard : value.at("shards")) index.shards.push_back(ShardFromJson(shard));
  for (const json& version : value.value("history", json::array())) {
    index.history.push_back(VersionFromJson(version));
  }
  index.provenance = ProvenanceFromJson(value.at("provenance"));
  if (index.history.empty()) {  // written before there were versions
    const auto shards = static_cast<int64_t>(index.shards.size());
    index.history.push_back(
        {1, "import", index.provenance.created_micros, shards, 0, {index.content_digest}});
  }
  return index;
}

std::string Checksum(json value) {
  value.erase("checksum");
  return core::Hex(core::Sha256Of(value.dump()));
}

[[noreturn]] void Fail(const std::filesystem::path& path, const std::string& what) {
  throw core::DataError(path.string() + ": " + what + "; import the data again or restore a copy");
}

void CheckShard(const std::filesystem::path& path, const ShardEntry& shard, int64_t vocab_size) {
  const auto fail = [&](const std::string& what) {
    Fail(path, "shard " + shard.file + ": " + what);
  };
  const std::filesystem::path file = shard.file;
  if (file.is_absolute() || shard.file.find("..") != std::string::npos) fail("file outside DIR");
  if (shard.split != "train" && shard.split != "validation" && shard.split != "test") {
    fail("unknown split " + shard.split);
  }
  constexpr int64_t kLimit = int64_t{1} << 48;  // so that no product below can overflow
  if (shard.interactions <= 0 || shard.segments < shard.interactions || shard.tokens <= 0 ||
      shard.tokens > kLimit || shard.segments > shard.tokens) {
    fail("counts that cannot be");
  }
  if (shard.arrays.size() != shard::kArrays) fail("expected 9 arrays");
  for (size_t i = 0; i < shard.arrays.size(); ++i) {
    const StoredArray& array = shard.arrays[i];
    const auto kind = static_cast<shard::Array>(i);
    const core::DType dtype = shard::TypeOf(kind, vocab_size);
    if (array.name != shard::kNames[i] || array.dtype != core::Name(dtype)) {
      fail(std::string("expected array ") + shard::kNames[i] + " of " + core::Name(dtype) +
           ", found " + array.name + " of " + array.dtype);
    }
    if (array.count != shard::CountOf(kind, shard.interactions, shard.segments, shard.tokens)) {
      fail("array " + array.name + " has an unexpected count, " + std::to_string(array.count));
    }
    const int64_t size = array.count * core::SizeOf(dtype);
    if (array.offset < 0 || array.offset > shard.bytes || size > shard.bytes - array.offset) {
      fail("array " + array.name + " lies outside the file");
    }
    if (static_cast<int64_t>(array.crc32c.size()) != shard::CrcBlocks(size)) {
      fail("array " + array.name + " lacks CRCs");
    }
  }
}

void CheckHistory(const std::filesystem::path& path, const Index& index) {
  if (index.history.empty()) Fail(path, "no versions");
  int64_t shards = 1;
  for (size_t i = 0; i < index.history.size(); ++i) {
    const DatasetVersion& version = index.history[i];
    if (version.number != static_cast<int>(i) + 1 || version.shards < shards ||
        version.shards > static_cast<int64_t>(index.shards.size())) {
      Fail(path, "version " + std::to_string(i + 1) + " of its history cannot be");
    }
    shards = version.shards;
    if (version.digests.empty() || version.digests.back() != DatasetDigest(index, shards)) {
      Fail(path, "the content digest of version " + std::to_string(i + 1) + " does not match");
    }
  }
  if (shards != static_cast<int64_t>(index.shards.size()) ||
      index.content_digest != index.history.back().digests.back()) {
    Fail(path, "content_digest does not match");
  }
}

void CheckIndex(const std::filesystem::path& path, const Index& index) {
  if (index.vocab_size <= 0 || index.vocab_size > (int64_t{1} << 31)) Fail(path, "vocab_size");
  if (index.shards.empty()) Fail(path, "no shards");
  for (const ShardEntry& shard : index.shards) CheckShard(path, shard, index.vocab_size);
  CheckHistory(path, index);
}

}  // namespace

std::string DatasetDigest(const Index& index, int64_t shards) {
  std::string text = index.tokenizer_digest + "\n" + index.template_digest + "\n";
  for (int64_t i = 0; i < shards; ++i) {
    const ShardEntry& shard = index.shards[static_cast<size_t>(i)];
    text += shard.split + "\n" + shard.content_digest + "\n";
  }
  return core::Hex(core::Sha256Of(text));
}

void AddVersion(Index* index, const std::string& kind, int64_t interactions) {
  for (DatasetVersion& version : index->history) {
    const std::string digest = DatasetDigest(*index, version.shards);
    if (version.digests.back() != digest) version.digests.push_back(digest);
  }
  DatasetVersion version;
  version.number = static_cast<int>(index->history.size()) + 1;
  version.kind = kind;
  version.created_micros = core::WallMicroseconds();
  version.shards = static_cast<int64_t>(index->shards.size());
  version.interactions = interactions;
  index->content_digest = DatasetDigest(*index, version.shards);
  version.digests = {index->content_digest};
  index->history.push_back(std::move(version));
}

std::string ShardsToText(const std::vector<ShardEntry>& shards) {
  json list = json::array();
  for (const ShardEntry& shard : shards) list.push_back(ToJson(shard));
  return list.dump();
}

std::vector<ShardEntry> ShardsFromText(const std::string& text) {
  std::vector<ShardEntry> shards;
  try {
    for (const json& shard : json::parse(text)) shards.push_back(ShardFromJson(shard));
  } catch (const json::exception& error) {
    throw core::DataError(std::string("not a list of shards: ") + error.what());
  }
  return shards;
}

void WriteIndex(const std::filesystem::path& directory, const Index& index) {
  json value = ToJson(index);
  value["checksum"] = Checksum(value);
  core::WriteFileAtomically(directory / kIndexFile, value.dump(1) + "\n");
}

Index ReadIndex(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / kIndexFile;
  if (!std::filesystem::exists(path)) {
    throw core::ConfigError(
        directory.string() + ": expected a data set, found no " + std::string(kIndexFile) +
        " in it; make one with `moat data import --in=PATH --out=" + directory.string() + "`");
  }
  const json value = json::parse(core::ReadWholeFile(path), nullptr, false);
  Index index;
  try {
    if (value.at("format") != kIndexFormat || value.at("schema") != kIndexVersion) {
      Fail(path, "expected format moat.dataset, schema 1, found " + value.at("format").dump() +
                     ", " + value.at("schema").dump());
    }
    if (value.at("checksum") != Checksum(value)) Fail(path, "its checksum does not match");
    index = FromJson(value);
  } catch (const json::exception& error) {
    Fail(path, std::string("not a moat data set's index (") + error.what() + ")");
  }
  CheckIndex(path, index);
  return index;
}

}  // namespace moat::data
