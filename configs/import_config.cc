// What an import may be.
#include "configs/import_config.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "configs/bounds.h"

namespace moat::configs {
namespace {

void OneOf(const std::string& flag, const std::string& found,
           const std::vector<std::string>& words) {
  if (std::find(words.begin(), words.end(), found) != words.end()) return;
  std::string listed = words[0];
  for (size_t i = 1; i < words.size(); ++i) {
    listed += (i + 1 < words.size() ? ", " : " or ") + words[i];
  }
  Expected(flag, found, listed);
}

void Validate(const RecordConfig& records) {
  OneOf("format", records.format,
        {"auto", "chat", "sharegpt", "alpaca", "prompt", "preference", "text", "csv", "tsv", "hdf5",
         "tree", "lines"});
  OneOf("weight_on", records.weight_on, {"last", "all"});
  const std::pair<const char*, const std::string&> fields[] = {
      {"field_messages", records.field_messages},
      {"field_prompt", records.field_prompt},
      {"field_completion", records.field_completion},
      {"field_system", records.field_system},
      {"field_text", records.field_text},
      {"field_id", records.field_id},
      {"field_user", records.field_user},
      {"field_time", records.field_time},
      {"field_request", records.field_request},
      {"field_weight", records.field_weight},
      {"field_outcome", records.field_outcome}};
  for (const auto& [flag, name] : fields) {
    if (name.empty()) Expected(flag, name, "the name of a field");
  }
}

}  // namespace

std::map<std::string, double> ParseOutcomes(const std::vector<std::string>& labels) {
  std::map<std::string, double> outcomes;
  for (const std::string& label : labels) {
    const size_t equals = label.rfind('=');
    const std::string number = equals == std::string::npos ? "" : label.substr(equals + 1);
    char* end = nullptr;
    const double weight = std::strtod(number.c_str(), &end);
    if (equals == 0 || number.empty() || *end != '\0' || !std::isfinite(weight) || weight < 0) {
      Expected("outcomes", label, "LABEL=WEIGHT with a weight of at least 0, as accepted=1");
    }
    if (!outcomes.emplace(label.substr(0, equals), weight).second) {
      Expected("outcomes", label, "each label once");
    }
  }
  return outcomes;
}

void Validate(const ImportConfig& config) {
  if (config.in.empty() || std::any_of(config.in.begin(), config.in.end(),
                                       [](const std::string& path) { return path.empty(); })) {
    throw core::ConfigError("--in=PATH is missing: name a file of records or a directory");
  }
  if (config.out.empty() && !config.dry_run) {
    throw core::ConfigError("--out=DIR is missing: name the data set directory to make");
  }
  // 256 bytes for fallback, and room for control symbols and at least some merges.
  AtLeast("vocab_size", config.vocab_size, 300);
  Number("validation_fraction", config.validation_fraction,
         config.validation_fraction > 0 && config.validation_fraction < 1,
         "a number above 0 and below 1");
  Number("max_bad_fraction", config.max_bad_fraction,
         config.max_bad_fraction >= 0 && config.max_bad_fraction <= 1, "a number in [0, 1]");
  AtLeast("shard_tokens", config.shard_tokens, 1);
  AtLeast("max_file_bytes", config.max_file_bytes, 1);
  AtLeast("threads", config.threads, 0);
  if (!config.append || !config.dedup.empty()) {
    OneOf("dedup", config.dedup, {"off", "exact", "near"});
  }
  if (!config.append || config.near_threshold != 0) {
    Number("near_threshold", config.near_threshold,
           config.near_threshold >= 0.5 && config.near_threshold <= 1, "a number in [0.5, 1]");
  }
  OneOf("split", config.split, {"auto", "user", "time", "path", "id"});
  Number("test_fraction", config.test_fraction,
         config.test_fraction >= 0 && config.validation_fraction + config.test_fraction < 1,
         "a number of at least 0 that leaves something to train on beside --validation_fraction");
  Validate(config.records);
  const HygieneConfig& hygiene = config.hygiene;
  AtLeast("min_text_bytes", hygiene.min_text_bytes, 0);
  AtLeast("max_text_bytes", hygiene.max_text_bytes, 0);
  if (hygiene.max_text_bytes > 0 && hygiene.max_text_bytes < hygiene.min_text_bytes) {
    throw core::ConfigError("--max_text_bytes=" + std::to_string(hygiene.max_text_bytes) +
                            " is below --min_text_bytes=" + std::to_string(hygiene.min_text_bytes) +
                            ": nothing would be left");
  }
  Number("max_repetition", hygiene.max_repetition,
         hygiene.max_repetition > 0 && hygiene.max_repetition <= 1,
         "a number above 0 and at most 1 (1: no filter)");
}

}  // namespace moat::configs
