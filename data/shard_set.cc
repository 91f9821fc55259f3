// Batches are encoded in parallel and written in order, so the bytes do not depend on threads.
#include "data/shard_set.h"

#include <atomic>
#include <cstdio>
#include <exception>
#include <mutex>
#include <thread>

#include "data/user_key.h"

namespace moat::data {
namespace {

constexpr int64_t kBatchBytes = 8 << 20;
constexpr size_t kBatchInteractions = 4096;

}  // namespace

ShardSet::ShardSet(std::filesystem::path directory, const Tokenizer& tokenizer, std::string key,
                   int64_t shard_tokens, int threads)
    : directory_(std::move(directory)),
      tokenizer_(tokenizer),
      key_(std::move(key)),
      shard_tokens_(shard_tokens),
      threads_(threads) {
  const ShardIdentity identity = {tokenizer.vocab_size(), tokenizer.digest(),
                                  Tokenizer::template_digest()};
  for (const char* split : {"train", "validation", "test"}) {
    outputs_.emplace(split, Output{ShardWriter(identity), {}});
  }
}

void ShardSet::Add(Interaction interaction, const std::string& split) {
  pending_bytes_ += interaction.TextBytes();
  pending_.push_back({std::move(interaction), split, {}});
  if (pending_bytes_ >= kBatchBytes || pending_.size() >= kBatchInteractions) Flush();
}

void ShardSet::EncodePending() {
  std::atomic<size_t> next{0};
  std::mutex mutex;
  std::exception_ptr error;
  const auto work = [&] {
    try {
      for (size_t i = next++; i < pending_.size(); i = next++) {
        pending_[i].encoded = Encode(tokenizer_, pending_[i].interaction);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> workers;
    for (int i = 1; i < threads_; ++i) workers.emplace_back(work);
    work();
  }
  if (error) std::rethrow_exception(error);
}

void ShardSet::Flush() {
  EncodePending();
  for (const Pending& pending : pending_) Write(pending);
  pending_.clear();
  pending_bytes_ = 0;
}

void ShardSet::Write(const Pending& pending) {
  const std::string& split = pending.split;
  Output& output = outputs_.at(split);
  const auto tokens = static_cast<int64_t>(pending.encoded.tokens.size());
  if (output.writer.interactions() > 0 && output.writer.tokens() + tokens > shard_tokens_) {
    Seal(split);
  }
  const Interaction& interaction = pending.interaction;
  StoredIds ids;
  ids.id = HashOfId(key_, interaction.id);
  ids.user = interaction.user.empty() ? ids.id : HashOfUser(key_, interaction.user);
  if (!interaction.request.empty()) ids.request = HashOfRequest(key_, interaction.request);
  output.writer.Add(interaction, pending.encoded, ids);
}

void ShardSet::Seal(const std::string& split) {
  Output& output = outputs_.at(split);
  std::string number = std::to_string(output.sealed.size());
  number.insert(0, number.size() < 5 ? 5 - number.size() : 0, '0');
  output.sealed.push_back(
      output.writer.Seal(directory_, "shards/" + split + "-" + number + ".h5", split));
}

std::vector<ShardEntry> ShardSet::Finish() {
  Flush();
  std::vector<ShardEntry> entries;
  for (const char* split : {"train", "validation", "test"}) {
    Output& output = outputs_.at(split);
    if (output.writer.interactions() > 0) Seal(split);
    entries.insert(entries.end(), output.sealed.begin(), output.sealed.end());
  }
  return entries;
}

}  // namespace moat::data
