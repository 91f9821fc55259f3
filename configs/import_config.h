// What `moat data import` does.
#pragma once

#include <cstdint>
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

struct ImportConfig {
  std::vector<std::string>
      in;  // files or directories; a directory with .git gives history and files
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
  HygieneConfig hygiene;
  bool dry_run = false;  // say what would be read, changed and left out; write nothing
  bool history = true;   // a git repository's history, beside its files
};

void Validate(const ImportConfig& config);

}  // namespace moat::configs
