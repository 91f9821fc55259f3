// What `moat data import` does.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace moat::configs {

// What is taken out of interactions, and which are left out. Everything is off by default.
struct HygieneConfig {
  std::string redact;          // rules file; "": no redaction
  int64_t min_text_bytes = 0;  // of an interaction's text, after redaction
  int64_t max_text_bytes = 0;  // 0: no limit
  double max_repetition = 1;   // share of an interaction's text that repeats what came before in it
};

// How records are read: the names of their fields ("meta.user" looks into meta), and what judges
// them. docs/data-formats.md says more.
struct RecordConfig {
  std::string format = "auto";
  std::string field_messages = "messages";
  std::string field_prompt = "prompt";
  std::string field_completion = "completion";
  std::string field_system = "system";
  std::string field_text = "text";
  std::string field_id = "id";
  std::string field_user = "user";
  std::string field_time = "time";
  std::string field_request = "request";
  std::string field_weight = "weight";
  std::string field_outcome = "outcome";
  std::map<std::string, double> outcomes;  // label to weight; empty: outcomes are not looked at
  std::string weight_on = "last";  // or "all": the assistant messages a record's weight is for
};

// "accepted=1" and so on. Throws ConfigError.
std::map<std::string, double> ParseOutcomes(const std::vector<std::string>& labels);

struct ImportConfig {
  std::vector<std::string>
      in;  // files, globs, directories, "-"; a directory with .git gives history and files
  std::string out;
  std::string tokenizer;              // a model to take instead of training one
  int64_t vocab_size = 4096;          // of the tokenizer to train (an upper bound)
  double validation_fraction = 0.05;  // of users, paths or ids
  double max_bad_fraction = 0.01;     // of records, above which the import fails
  int64_t shard_tokens = 64 << 20;   // tokens per shard, at most (unless one interaction is larger)
  int64_t max_file_bytes = 1 << 20;  // larger files of a tree are skipped and counted
  std::string
      user_key;     // file with the 32-byte key of user hashes; "": DIR/user.key, made when absent
  int threads = 0;  // 0: all cores
  uint64_t seed = 1;            // of the split
  std::string dedup = "off";    // off | exact | near
  double near_threshold = 0.8;  // share of shingles in common from which on --dedup=near leaves out
  std::string split = "auto";   // auto | user | time | path | id
  double test_fraction = 0;     // of the test split; 0: none
  RecordConfig records;
  HygieneConfig hygiene;
  // Adds a version to the data set OUT, by its own tokenizer, key, split rule and seed. `dedup` ""
  // and `near_threshold` 0 are the data set's then.
  bool append = false;
  bool dry_run = false;  // say what would be read, changed and left out; write nothing
  bool history = true;   // a git repository's history, beside its files
};

void Validate(const ImportConfig& config);

}  // namespace moat::configs
