// Statistics as text for a terminal and as JSON.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/clock.h"
#include "core/units.h"
#include "data/statistics.h"

namespace moat::data {
namespace {

using nlohmann::json;

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

void WeightsText(const WeightCounts& weights, std::ostringstream* out) {
  int64_t largest = weights.zero;
  for (const auto& [range, count] : weights.ranges) largest = std::max(largest, count);
  for (const auto& [value, count] : weights.values) largest = std::max(largest, count);
  if (largest == 0) return;
  *out << "  weights of segments\n";
  const auto line = [&](double value, const char* suffix, int64_t count) {
    *out << Format("  %9.4g%s %8lld ", value, suffix, static_cast<long long>(count))
         << Bar(count, largest) << "\n";
  };
  if (!weights.many) {
    for (const auto& [value, count] : weights.values) line(static_cast<double>(value), " ", count);
    return;
  }
  if (weights.zero > 0) line(0, " ", weights.zero);
  for (const auto& [range, count] : weights.ranges) line(std::ldexp(1.0, range), "+", count);
}

void SplitText(const std::string& name, const SplitStatistics& split, std::ostringstream* out) {
  *out << "\n"
       << name << "\n"
       << Format("  %lld interactions, %lld segments, %lld tokens, %s of text, %.2f bytes/token\n",
                 static_cast<long long>(split.interactions), static_cast<long long>(split.segments),
                 static_cast<long long>(split.tokens),
                 core::Format(core::Bytes(split.bytes)).c_str(), Ratio(split.bytes, split.tokens))
       << "  " << (split.users.exact() ? "" : "about ") << split.users.count() << " users, "
       << split.without_user << " interactions of unknown users\n";
  if (split.last_time != 0) {
    *out << "  from " << core::FormatUtc(split.first_time) << " to "
         << core::FormatUtc(split.last_time) << "\n";
  }
  if (split.alternatives > 0) {
    *out << "  " << split.alternatives << " interactions answer a request that may have others\n";
  }
  *out << Format("  %.3f%% of the text's bytes have no piece but their own\n",
                 100 * Ratio(split.fallback_bytes, split.bytes));
  for (int i = 0; i < kRoles; ++i) {
    const RoleStatistics& role = split.roles[static_cast<size_t>(i)];
    if (role.segments == 0) continue;
    *out << Format("  %-10s %10lld segments %12lld tokens %5.1f%% of them weighted\n",
                   Name(static_cast<Role>(i)), static_cast<long long>(role.segments),
                   static_cast<long long>(role.tokens),
                   100 * Ratio(role.weighted_tokens, role.tokens));
  }
  WeightsText(split.weights, out);
  *out << "  tokens per interaction\n";
  const int64_t largest =
      split.lengths.empty() ? 0 : *std::max_element(split.lengths.begin(), split.lengths.end());
  for (size_t i = 0; i < split.lengths.size(); ++i) {
    if (split.lengths[i] == 0) continue;
    *out << Format("  %9lld+ %8lld ", 1LL << i, static_cast<long long>(split.lengths[i]))
         << Bar(split.lengths[i], largest) << "\n";
  }
}

json WeightsJson(const WeightCounts& weights) {
  json pairs = json::array();  // [value, count], or [start of a range, count]
  if (!weights.many) {
    for (const auto& [value, count] : weights.values) pairs.push_back({value, count});
    return {{"values", pairs}};
  }
  for (const auto& [range, count] : weights.ranges) {
    pairs.push_back({std::ldexp(1.0, range), count});
  }
  return {{"zero", weights.zero}, {"from_power_of_two", pairs}};
}

json TimeJson(int64_t micros) { return micros == 0 ? json() : json(core::FormatUtc(micros)); }

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
          {"users", split.users.count()},
          {"users_exact", split.users.exact()},
          {"first_time", TimeJson(split.first_time)},
          {"last_time", TimeJson(split.last_time)},
          {"alternatives", split.alternatives},
          {"fallback_bytes", split.fallback_bytes},
          {"fallback_share", Ratio(split.fallback_bytes, split.bytes)},
          {"weights", WeightsJson(split.weights)},
          {"without_user", split.without_user},
          {"roles", roles},
          {"length_histogram_log2", split.lengths}};
}

}  // namespace

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

std::string ToText(const UserStatistics& statistics) {
  std::ostringstream out;
  for (const auto& [name, split] : statistics.splits) {
    out << name << ": " << split.interactions << " interactions, " << split.tokens << " tokens\n";
  }
  if (statistics.last_time != 0) {
    out << "from " << core::FormatUtc(statistics.first_time) << " to "
        << core::FormatUtc(statistics.last_time) << "\n";
  }
  for (const UserStatistics::Version& version : statistics.versions) {
    out << "version " << version.number << " (" << version.kind << ", "
        << core::FormatUtc(version.created_micros) << ")";
    const char* separator = ": ";
    for (const auto& [name, split] : version.splits) {
      out << separator << name << " " << split.interactions;
      separator = ", ";
    }
    if (version.forgotten > 0) {
      out << "; versions before it held " << version.forgotten
          << " interactions that were forgotten here, whose is not kept";
    }
    out << "\n";
  }
  return out.str();
}

std::string ToJson(const UserStatistics& statistics) {
  const auto splits_json = [](const std::map<std::string, UserStatistics::Split>& splits) {
    json value = json::object();
    for (const auto& [name, split] : splits) {
      value[name] = {{"interactions", split.interactions}, {"tokens", split.tokens}};
    }
    return value;
  };
  json versions = json::array();
  for (const UserStatistics::Version& version : statistics.versions) {
    versions.push_back({{"version", version.number},
                        {"kind", version.kind},
                        {"created", TimeJson(version.created_micros)},
                        {"forgotten", version.forgotten},
                        {"splits", splits_json(version.splits)}});
  }
  return json{{"first_time", TimeJson(statistics.first_time)},
              {"last_time", TimeJson(statistics.last_time)},
              {"splits", splits_json(statistics.splits)},
              {"versions", versions}}
      .dump();
}

}  // namespace moat::data
