// Counting a data set.
#include "data/statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <mutex>

#include "core/error.h"
#include "core/host.h"
#include "data/chat_template.h"
#include "data/index.h"
#include "data/parallel_for.h"
#include "data/shard_reader.h"
#include "data/user_key.h"
#include "data/windows.h"

namespace moat::data {
namespace {

// Of each token of the vocabulary, looked up for every token of a data set.
struct TokenBytes {
  explicit TokenBytes(const Tokenizer& tokenizer) {
    for (int32_t token = 0; token < tokenizer.vocab_size(); ++token) {
      length.push_back(static_cast<int32_t>(tokenizer.ByteLength(token)));
      fallback.push_back(tokenizer.IsByte(token));
    }
  }
  std::vector<int32_t> length;
  std::vector<uint8_t> fallback;
};

void CountSegment(const StoredRun& run, size_t segment, bool first, const TokenBytes& bytes,
                  SplitStatistics* split) {
  RoleStatistics& role = split->roles[static_cast<size_t>(run.role[segment])];
  const int64_t begin = run.segment_start[segment], end = run.segment_start[segment + 1];
  ++role.segments;
  role.tokens += end - begin;
  if (run.weight[segment] > 0) role.weighted_tokens += end - begin - HeaderTokens(first);
  split->weights.Add(run.weight[segment]);
  run.WithTokens([&](const auto* tokens) {
    for (int64_t t = begin; t < end; ++t) {
      role.bytes += bytes.length[tokens[t]];
      split->fallback_bytes += bytes.fallback[tokens[t]];
    }
  });
}

void CountSegments(const StoredRun& run, const TokenBytes& bytes, SplitStatistics* split) {
  for (int64_t i = 0; i < run.size(); ++i) {
    const int64_t length = run.TokenStart(i + 1) - run.TokenStart(i);
    const auto bucket = static_cast<size_t>(std::bit_width(static_cast<uint64_t>(length)) - 1);
    if (split->lengths.size() <= bucket) split->lengths.resize(bucket + 1);
    ++split->lengths[bucket];
    const int64_t first = run.first_segment[static_cast<size_t>(i)];
    for (int64_t s = first; s < run.first_segment[static_cast<size_t>(i) + 1]; ++s) {
      CountSegment(run, static_cast<size_t>(s), s == first, bytes, split);
    }
  }
}

// Widens [first, last] to hold `time`; 0 is unknown.
void Widen(int64_t time, int64_t* first, int64_t* last) {
  if (time == 0) return;
  *first = *first == 0 ? time : std::min(*first, time);
  *last = *last == 0 ? time : std::max(*last, time);
}

void CountKeys(const StoredKeys& keys, SplitStatistics* split) {
  for (size_t i = 0; i < keys.id.size(); ++i) {
    if (keys.user[i] == keys.id[i]) {
      ++split->without_user;
    } else {
      split->users.Add(keys.user[i]);
    }
    if (keys.request[i] != 0) ++split->alternatives;
    Widen(keys.time[i], &split->first_time, &split->last_time);
  }
}

SplitStatistics MeasureShard(const ShardReader& reader, const TokenBytes& bytes) {
  SplitStatistics split;
  for (const ShardWindow& window : WindowsOf(reader, nullptr)) {
    const StoredRun run = reader.ReadRun(window.first, window.count);
    split.interactions += run.size();
    split.segments += static_cast<int64_t>(run.role.size());
    split.tokens += run.tokens;
    CountSegments(run, bytes, &split);
    CountKeys(reader.ReadKeys(window.first, window.count), &split);
  }
  for (const RoleStatistics& role : split.roles) split.bytes += role.bytes;
  return split;
}

}  // namespace

void WeightCounts::Add(float weight, int64_t count) {
  if (weight == 0) {
    zero += count;
  } else {
    ranges[std::ilogb(weight)] += count;
  }
  if (many) return;
  values[weight] += count;
  if (values.size() <= kMostValues) return;
  many = true;
  values.clear();
}

void WeightCounts::Add(const WeightCounts& other) {
  zero += other.zero;
  for (const auto& [range, count] : other.ranges) ranges[range] += count;
  for (const auto& [value, count] : other.values) values[value] += count;
  many = many || other.many || values.size() > kMostValues;
  if (many) values.clear();
}

void SplitStatistics::Add(const SplitStatistics& other) {
  interactions += other.interactions;
  segments += other.segments;
  tokens += other.tokens;
  bytes += other.bytes;
  users.Add(other.users);
  without_user += other.without_user;
  Widen(other.first_time, &first_time, &last_time);
  Widen(other.last_time, &first_time, &last_time);
  alternatives += other.alternatives;
  fallback_bytes += other.fallback_bytes;
  for (size_t i = 0; i < roles.size(); ++i) {
    roles[i].segments += other.roles[i].segments;
    roles[i].tokens += other.roles[i].tokens;
    roles[i].weighted_tokens += other.roles[i].weighted_tokens;
    roles[i].bytes += other.roles[i].bytes;
  }
  weights.Add(other.weights);
  lengths.resize(std::max(lengths.size(), other.lengths.size()));
  for (size_t i = 0; i < other.lengths.size(); ++i) lengths[i] += other.lengths[i];
}

Statistics Measure(const Dataset& dataset, bool with_baselines) {
  const Index index = ReadIndex(dataset.directory());
  Statistics statistics;
  statistics.vocab_size = dataset.vocab_size();
  statistics.content_digest = dataset.content_digest();
  statistics.tokenizer_digest = dataset.tokenizer_digest();
  statistics.split_rule = index.provenance.split_rule;
  statistics.import_counts = index.provenance.counts;
  const TokenBytes bytes(Tokenizer::Load(dataset.tokenizer_path()));
  if (static_cast<int64_t>(bytes.length.size()) < dataset.vocab_size()) {
    throw core::DataError(dataset.tokenizer_path().string() +
                          ": not the tokenizer that the shards were encoded with");
  }
  for (const char* split : {"train", "validation"}) statistics.splits[split];
  std::mutex mutex;
  const std::vector<ShardEntry>& shards = dataset.shards();
  ParallelFor(static_cast<int64_t>(shards.size()), core::Cores(), [&](int64_t i) {
    const ShardEntry& entry = shards[static_cast<size_t>(i)];
    const ShardReader reader(dataset.directory(), entry, dataset.vocab_size());
    const SplitStatistics counted = MeasureShard(reader, bytes);
    const std::lock_guard lock(mutex);
    statistics.splits[entry.split].Add(counted);
  });
  if (with_baselines) statistics.baselines = MeasureBaselines(dataset);
  return statistics;
}

namespace {

// What one shard holds of a user.
UserStatistics::Split CountUser(const ShardReader& reader, uint64_t user, int64_t* first_time,
                                int64_t* last_time) {
  UserStatistics::Split split;
  for (const ShardWindow& window : WindowsOf(reader, nullptr)) {
    const StoredKeys keys = reader.ReadKeys(window.first, window.count);
    const InteractionSizes sizes = reader.ReadSizes(window.first, window.count);
    for (size_t i = 0; i < keys.user.size(); ++i) {
      if (keys.user[i] != user) continue;
      ++split.interactions;
      split.tokens += sizes.tokens[i];
      Widen(keys.time[i], first_time, last_time);
    }
  }
  return split;
}

}  // namespace

int64_t UserStatistics::Version::interactions() const {
  int64_t sum = 0;
  for (const auto& [name, split] : splits) sum += split.interactions;
  return sum;
}

UserStatistics MeasureUser(const Dataset& dataset, const std::string& user,
                           const std::string& user_key) {
  const uint64_t hash = HashOfUser(ReadUserKey(dataset.directory(), user_key), user);
  const Dataset newest = Dataset::Open(dataset.directory());
  UserStatistics statistics;
  for (const DatasetVersion& version : newest.history()) {
    statistics.versions.push_back({version.number,
                                   version.kind,
                                   version.created_micros,
                                   version.kind == "forget" ? version.interactions : 0,
                                   version.digests,
                                   {}});
  }
  for (int64_t i = 0; i < static_cast<int64_t>(newest.shards().size()); ++i) {
    const ShardEntry& entry = newest.shards()[static_cast<size_t>(i)];
    const ShardReader reader(newest.directory(), entry, newest.vocab_size());
    const UserStatistics::Split held =
        CountUser(reader, hash, &statistics.first_time, &statistics.last_time);
    for (size_t v = 0; v < statistics.versions.size(); ++v) {
      if (i >= newest.history()[v].shards) continue;
      UserStatistics::Split& split = statistics.versions[v].splits[entry.split];
      split.interactions += held.interactions;
      split.tokens += held.tokens;
    }
  }
  statistics.splits = statistics.versions.back().splits;
  return statistics;
}

}  // namespace moat::data
