// `moat data stat`: what a data set holds, counted from its shards.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "data/baselines.h"
#include "data/dataset.h"
#include "data/tokenizer.h"

namespace moat::data {

struct RoleStatistics {
  int64_t segments = 0;
  int64_t tokens = 0;           // with control tokens
  int64_t weighted_tokens = 0;  // that have weight > 0 as targets, were the role to carry loss
  int64_t bytes = 0;            // of text
};

struct SplitStatistics {
  int64_t interactions = 0, segments = 0, tokens = 0, bytes = 0;
  int64_t users = 0;         // distinct known users
  int64_t without_user = 0;  // interactions
  std::array<RoleStatistics, kRoles> roles;
  std::vector<int64_t> lengths;  // [i]: interactions of 2^i to 2^(i+1) - 1 tokens
};

struct Statistics {
  std::map<std::string, SplitStatistics> splits;
  int64_t vocab_size = 0;
  std::string split_rule, content_digest, tokenizer_digest;
  std::map<std::string, int64_t> import_counts;
  std::optional<Baselines> baselines;
};

Statistics Measure(const Dataset& dataset, bool with_baselines);

std::string ToText(const Statistics& statistics);  // for a terminal, bars included
std::string ToJson(const Statistics& statistics);  // one object, one line

}  // namespace moat::data
