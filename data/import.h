// `moat data import`: raw interactions in, a complete data set out, or nothing at all.
//
// Two passes: the inputs are read once into a spool beside the output, which settles the split and
// the tokenizer; then the spool is encoded with all threads into shards. Memory holds a few bits
// per interaction, buffers of fixed size, the tokenizer's sample and the shards being filled (at
// most
// --shard_tokens per split). The data set is built in a temporary sibling of OUT and renamed when
// it is complete.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "configs/import_config.h"

namespace moat::data {

struct SplitReport {
  int64_t interactions = 0;
  int64_t tokens = 0;
};

struct ImportReport {
  bool already_done = false;  // OUT came from the same flags and inputs: nothing was written
  int64_t added = 0;          // interactions, by this import or append
  int version = 0;            // of the data set now
  std::string split_rule;
  SplitReport train, validation, test;
  int64_t vocab_size = 0;
  int64_t text_bytes = 0;
  int64_t records = 0;                    // of files of records, good and bad
  int64_t quarantined = 0;                // of them, bad: listed in OUT/quarantine.jsonl
  std::map<std::string, int64_t> counts;  // what was skipped, and why
  std::string content_digest;
  double seconds = 0;
};

// With config.append, OUT is a data set that gets a new version: data/append.h.
//
// REQUIRES: a validated config. Progress goes to the log. Throws ConfigError (missing input, OUT
// exists), DataError (nothing to learn from, too many bad records), StorageError (no space).
ImportReport Import(const configs::ImportConfig& config);

}  // namespace moat::data
