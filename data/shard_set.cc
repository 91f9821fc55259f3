// Records come from the pool in order, so the bytes of shards do not depend on threads.
#include "data/shard_set.h"

#include "core/error.h"
#include "core/fault.h"
#include "data/user_key.h"

namespace moat::data {
namespace {

size_t SplitOf(const ShardEntry& entry) {
  for (size_t split = 0; split < kSplitNames.size(); ++split) {
    if (entry.split == kSplitNames[split]) return split;
  }
  throw core::BugError("a shard of no known split: " + entry.split);
}

}  // namespace

ShardSet::ShardSet(std::filesystem::path directory, const Tokenizer& tokenizer, std::string key,
                   int64_t shard_tokens, int threads, Resume resume)
    : directory_(std::move(directory)),
      tokenizer_(tokenizer),
      key_(std::move(key)),
      shard_tokens_(shard_tokens),
      on_sealed_(std::move(resume.on_sealed)),
      pool_(
          threads, [this](Record& record) { Encode(record); },
          [this](Record& record) { Write(record); }) {
  const ShardIdentity identity = {tokenizer.vocab_size(), tokenizer.digest(),
                                  Tokenizer::template_digest()};
  for (size_t i = 0; i < kSplitNames.size(); ++i) {
    outputs_.push_back({ShardWriter(identity), {}, 0});
  }
  for (ShardEntry& entry : resume.sealed) {
    Output& output = outputs_[SplitOf(entry)];
    output.to_skip += entry.interactions;
    output.sealed.push_back(std::move(entry));
  }
}

void ShardSet::Add(Interaction interaction, size_t split) {
  if (outputs_[split].to_skip > 0) {
    --outputs_[split].to_skip;
    return;
  }
  const int64_t bytes = interaction.TextBytes();
  pool_.Add({std::move(interaction), split, {}, {}}, bytes);
}

void ShardSet::Encode(Record& record) const {
  const Interaction& interaction = record.interaction;
  record.encoded = data::Encode(tokenizer_, interaction);
  record.ids.id = HashOfId(key_, interaction.id);
  record.ids.user = interaction.user.empty() ? record.ids.id : HashOfUser(key_, interaction.user);
  if (!interaction.request.empty()) record.ids.request = HashOfRequest(key_, interaction.request);
}

void ShardSet::Write(const Record& record) {
  Output& output = outputs_[record.split];
  const auto tokens = static_cast<int64_t>(record.encoded.tokens.size());
  if (output.writer.interactions() > 0 && output.writer.tokens() + tokens > shard_tokens_) {
    Seal(record.split);
  }
  output.writer.Add(record.interaction, record.encoded, record.ids);
}

void ShardSet::Seal(size_t split) {
  Output& output = outputs_[split];
  std::string number = std::to_string(output.sealed.size());
  number.insert(0, number.size() < 5 ? 5 - number.size() : 0, '0');
  const std::string name = kSplitNames[split];
  output.sealed.push_back(
      output.writer.Seal(directory_, "shards/" + name + "-" + number + ".h5", name));
  core::FaultPoint("import.sealed");
  if (on_sealed_) on_sealed_(Sealed());
  core::FaultPoint("import.journalled");
}

std::vector<ShardEntry> ShardSet::Sealed() const {
  std::vector<ShardEntry> entries;
  for (const Output& output : outputs_) {
    entries.insert(entries.end(), output.sealed.begin(), output.sealed.end());
  }
  return entries;
}

std::vector<ShardEntry> ShardSet::Finish() {
  pool_.Finish();
  for (size_t split = 0; split < outputs_.size(); ++split) {
    if (outputs_[split].writer.interactions() > 0) Seal(split);
  }
  return Sealed();
}

}  // namespace moat::data
