// Records come from the pool in order, so the bytes of shards do not depend on threads.
#include "data/shard_set.h"

#include "core/fault.h"
#include "data/user_key.h"

namespace moat::data {
namespace {

constexpr Side kSides[] = {Side::kTrain, Side::kValidation, Side::kTest};

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
  for (size_t i = 0; i < std::size(kSides); ++i) {
    outputs_.push_back({ShardWriter(identity), {}, 0, 0});
  }
  for (const ShardEntry& entry : resume.earlier) ++OutputOf(SideOfSplit(entry.split)).earlier;
  for (ShardEntry& entry : resume.sealed) {
    Output& output = OutputOf(SideOfSplit(entry.split));
    output.to_skip += entry.interactions;
    output.sealed.push_back(std::move(entry));
  }
}

void ShardSet::Add(Interaction interaction, Side side) {
  if (int64_t& to_skip = OutputOf(side).to_skip; to_skip > 0) {
    --to_skip;
    return;
  }
  const int64_t bytes = interaction.TextBytes();
  pool_.Add({std::move(interaction), side, {}, {}}, bytes);
}

void ShardSet::Encode(Record& record) const {
  const Interaction& interaction = record.interaction;
  record.encoded = data::Encode(tokenizer_, interaction);
  record.ids.id = HashOfId(key_, interaction.id);
  record.ids.user = interaction.user.empty() ? record.ids.id : HashOfUser(key_, interaction.user);
  if (!interaction.request.empty()) record.ids.request = HashOfRequest(key_, interaction.request);
}

void ShardSet::Write(const Record& record) {
  Output& output = OutputOf(record.side);
  const auto tokens = static_cast<int64_t>(record.encoded.tokens.size());
  if (output.writer.interactions() > 0 && output.writer.tokens() + tokens > shard_tokens_) {
    Seal(record.side);
  }
  output.writer.Add(record.interaction, record.encoded, record.ids);
}

void ShardSet::Seal(Side side) {
  Output& output = OutputOf(side);
  std::string number = std::to_string(output.earlier + output.sealed.size());
  number.insert(0, number.size() < 5 ? 5 - number.size() : 0, '0');
  const std::string name = SplitNameOf(side);
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
  for (const Side side : kSides) {
    if (OutputOf(side).writer.interactions() > 0) Seal(side);
  }
  return Sealed();
}

}  // namespace moat::data
