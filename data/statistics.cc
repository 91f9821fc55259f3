// Counting a data set, and saying what was counted.
#include "data/statistics.h"

#include <algorithm>
#include <bit>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>
#include <unordered_set>

#include "core/units.h"
#include "data/chat_template.h"
#include "data/dataset_walk.h"
#include "data/index.h"

namespace moat::data {
namespace {

using nlohmann::json;

void CountSegments(const StoredInteractions& run, const Tokenizer& tokenizer,
                   SplitStatistics* split) {
  for (int64_t i = 0; i < run.size(); ++i) {
    const int64_t length = run.TokenStart(i + 1) - run.TokenStart(i);
    const auto bucket = static_cast<size_t>(std::bit_width(static_cast<uint64_t>(length)) - 1);
    if (split->lengths.size() <= bucket) split->lengths.resize(bucket + 1);
    ++split->lengths[bucket];
    for (int64_t s = run.first_segment[static_cast<size_t>(i)];
         s < run.first_segment[static_cast<size_t>(i) + 1]; ++s) {
      const auto segment = static_cast<size_t>(s);
      RoleStatistics& role = split->roles[static_cast<size_t>(run.role[segment])];
      const int64_t tokens = run.segment_start[segment + 1] - run.segment_start[segment];
      const bool first = s == run.first_segment[static_cast<size_t>(i)];
      ++role.segments;
      role.tokens += tokens;
      if (run.weight[segment] > 0) role.weighted_tokens += tokens - HeaderTokens(first);
      for (int64_t t = run.segment_start[segment]; t < run.segment_start[segment + 1]; ++t) {
        role.bytes += tokenizer.ByteLength(run.tokens[static_cast<size_t>(t)]);
      }
    }
  }
}

SplitStatistics MeasureSplit(const Dataset& dataset, const Tokenizer& tokenizer,
                             const std::string& name) {
  SplitStatistics split;
  std::unordered_set<uint64_t> users;
  WalkSplit(dataset, name, [&](const StoredInteractions& run, const StoredKeys& keys) {
    split.interactions += run.size();
    split.segments += static_cast<int64_t>(run.role.size());
    split.tokens += static_cast<int64_t>(run.tokens.size());
    CountSegments(run, tokenizer, &split);
    for (size_t i = 0; i < keys.id.size(); ++i) {
      if (keys.user[i] == keys.id[i]) {
        ++split.without_user;
      } else {
        users.insert(keys.user[i]);
      }
    }
  });
  split.users = static_cast<int64_t>(users.size());
  for (const RoleStatistics& role : split.roles) split.bytes += role.bytes;
  return split;
}

std::string Bar(int64_t count, int64_t largest) {
  constexpr int64_t kWidth = 40;
  const int64_t width = largest > 0 ? (count * kWidth + largest - 1) / largest : 0;
  std::string bar;
  for (int64_t i = 0; i < width; ++i) bar += "█";
  return bar;
}

template <typename... Values>
std::string Format(const char* format, Values... values) {
  std::array<char, 256> line{};
  std::snprintf(line.data(), line.size(), format, values...);
  return line.data();
}

double Ratio(int64_t a, int64_t b) {
  return b > 0 ? static_cast<double>(a) / static_cast<double>(b) : 0.0;
}

void SplitText(const std::string& name, const SplitStatistics& split, std::ostringstream* out) {
  *out << "\n"
       << name << "\n"
       << Format("  %lld interactions, %lld segments, %lld tokens, %s of text, %.2f bytes/token\n",
                 static_cast<long long>(split.interactions), static_cast<long long>(split.segments),
                 static_cast<long long>(split.tokens),
                 core::Format(core::Bytes(split.bytes)).c_str(), Ratio(split.bytes, split.tokens))
       << "  " << split.users << " users, " << split.without_user
       << " interactions of unknown users\n";
  for (int i = 0; i < kRoles; ++i) {
    const RoleStatistics& role = split.roles[static_cast<size_t>(i)];
    if (role.segments == 0) continue;
    *out << Format("  %-10s %10lld segments %12lld tokens %5.1f%% of them weighted\n",
                   Name(static_cast<Role>(i)), static_cast<long long>(role.segments),
                   static_cast<long long>(role.tokens),
                   100 * Ratio(role.weighted_tokens, role.tokens));
  }
  *out << "  tokens per interaction\n";
  const int64_t largest =
      split.lengths.empty() ? 0 : *std::max_element(split.lengths.begin(), split.lengths.end());
  for (size_t i = 0; i < split.lengths.size(); ++i) {
    if (split.lengths[i] == 0) continue;
    *out << Format("  %9lld+ %8lld ", 1LL << i, static_cast<long long>(split.lengths[i]))
         << Bar(split.lengths[i], largest) << "\n";
  }
}

json SplitJson(const SplitStatistics& split) {
  json roles = json::object();
  for (int i = 0; i < kRoles; ++i) {
    const RoleStatistics& role = split.roles[static_cast<size_t>(i)];
    roles[Name(static_cast<Role>(i))] = {{"segments", role.segments},
                                         {"tokens", role.tokens},
                                         {"weighted_tokens", role.weighted_tokens},
                                         {"bytes", role.bytes}};
  }
  return {{"interactions", split.interactions},
          {"segments", split.segments},
          {"tokens", split.tokens},
          {"bytes", split.bytes},
          {"bytes_per_token", Ratio(split.bytes, split.tokens)},
          {"users", split.users},
          {"without_user", split.without_user},
          {"roles", roles},
          {"length_histogram_log2", split.lengths}};
}

}  // namespace

Statistics Measure(const Dataset& dataset, bool with_baselines) {
  Index index = ReadIndex(dataset.directory());
  Statistics statistics;
  statistics.vocab_size = dataset.vocab_size();
  statistics.content_digest = dataset.content_digest();
  statistics.tokenizer_digest = dataset.tokenizer_digest();
  statistics.split_rule = index.provenance.split_rule;
  statistics.import_counts = index.provenance.counts;
  const Tokenizer tokenizer = Tokenizer::Load(dataset.tokenizer_path());
  for (const char* split : {"train", "validation", "test"}) {
    if (split == std::string("test") && dataset.ShardsOf(split).empty()) continue;
    statistics.splits[split] = MeasureSplit(dataset, tokenizer, split);
  }
  if (with_baselines) statistics.baselines = MeasureBaselines(dataset);
  return statistics;
}

std::string ToText(const Statistics& statistics) {
  std::ostringstream out;
  out << "split " << statistics.split_rule << ", vocabulary of " << statistics.vocab_size
      << " tokens\ncontent " << statistics.content_digest << "\n";
  for (const auto& [what, count] : statistics.import_counts) out << count << " " << what << "\n";
  for (const auto& [name, split] : statistics.splits) SplitText(name, split, &out);
  if (statistics.baselines) {
    const Baselines& baselines = *statistics.baselines;
    out << "\nbaselines on the validation split, bits per byte of "
        << core::Format(core::Bytes(baselines.scored_bytes)) << " scored text\n"
        << Format("  bigram %.4f\n  xz     %.4f\n", baselines.bigram_bits_per_byte,
                  baselines.xz_bits_per_byte);
  }
  return out.str();
}

std::string ToJson(const Statistics& statistics) {
  json value = {{"vocab_size", statistics.vocab_size},
                {"split_rule", statistics.split_rule},
                {"content_digest", statistics.content_digest},
                {"tokenizer_digest", statistics.tokenizer_digest},
                {"import_counts", statistics.import_counts}};
  for (const auto& [name, split] : statistics.splits) value["splits"][name] = SplitJson(split);
  if (statistics.baselines) {
    value["baselines"] = {{"bigram_bits_per_byte", statistics.baselines->bigram_bits_per_byte},
                          {"xz_bits_per_byte", statistics.baselines->xz_bits_per_byte},
                          {"scored_tokens", statistics.baselines->scored_tokens},
                          {"scored_bytes", statistics.baselines->scored_bytes},
                          {"train_bytes", statistics.baselines->train_bytes}};
  }
  return value.dump();
}

}  // namespace moat::data
