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
#include "data/distinct.h"
#include "data/tokenizer.h"

namespace moat::data {

struct RoleStatistics {
  int64_t segments = 0;
  int64_t tokens = 0;           // with control tokens
  int64_t weighted_tokens = 0;  // that have weight > 0 as targets, were the role to carry loss
  int64_t bytes = 0;            // of text
};

// Weights of segments: how many have each value, while there are few values.
struct WeightCounts {
  static constexpr size_t kMostValues = 16;

  std::map<float, int64_t> values;  // empty where there are more than kMostValues
  std::map<int, int64_t> ranges;    // [i]: of 2^i to 2^(i+1); 0 has none
  int64_t zero = 0;
  bool many = false;

  void Add(float weight, int64_t count = 1);
  void Add(const WeightCounts& other);
};

struct SplitStatistics {
  int64_t interactions = 0, segments = 0, tokens = 0, bytes = 0;
  DistinctCount users;         // known ones
  int64_t without_user = 0;    // interactions
  int64_t first_time = 0;      // Unix microseconds of the earliest and the latest interaction
  int64_t last_time = 0;       // that has a time; 0: none has
  int64_t alternatives = 0;    // interactions that answer a request others may answer too
  int64_t fallback_bytes = 0;  // of text that the vocabulary has no piece for
  std::array<RoleStatistics, kRoles> roles;
  WeightCounts weights;
  std::vector<int64_t> lengths;  // [i]: interactions of 2^i to 2^(i+1) - 1 tokens

  void Add(const SplitStatistics& other);
};

struct Statistics {
  std::map<std::string, SplitStatistics> splits;
  int64_t vocab_size = 0;
  std::string split_rule, content_digest, tokenizer_digest;
  std::map<std::string, int64_t> import_counts;
  std::optional<Baselines> baselines;
};

// Reads all shards, several at a time. Memory does not grow with their number or size. Splits
// without shards are left out, but for train and validation.
Statistics Measure(const Dataset& dataset, bool with_baselines);

// What a user has in a data set.
struct UserStatistics {
  struct Split {
    int64_t interactions = 0, tokens = 0;
  };
  // The user's part of one version, as it is now: what was forgotten is in none.
  struct Version {
    int number = 0;
    std::string kind;  // as in the index
    int64_t created_micros = 0;
    int64_t forgotten = 0;             // interactions of somebody that this version made blank
    std::vector<std::string> digests;  // as in the index
    std::map<std::string, Split> splits;

    int64_t interactions() const;
  };
  std::map<std::string, Split> splits;  // of the newest version
  std::vector<Version> versions;        // from 1 on
  int64_t first_time = 0, last_time = 0;
};

// The user as the input named them; of all versions, whichever is open; `user_key` as in
// data/user_key.h.
UserStatistics MeasureUser(const Dataset& dataset, const std::string& user,
                           const std::string& user_key);

std::string ToText(const UserStatistics& statistics);
std::string ToJson(const UserStatistics& statistics);
std::string ToText(const Statistics& statistics);  // for a terminal, bars included
std::string ToJson(const Statistics& statistics);  // one object, one line

}  // namespace moat::data
