// What `moat data synth` makes.
#pragma once

#include <cstdint>
#include <string>

namespace moat::configs {

struct SynthConfig {
  std::string out = "-";        // chat JSONL file; "-": standard output
  int64_t interactions = 1000;  // records to write
  uint64_t seed = 1;
  int64_t users = 0;              // distinct users, at most; 0: one for 50 interactions
  double duplicates = 0.02;       // share that repeats an earlier interaction, word for word
  double near_duplicates = 0.02;  // share that repeats one with a few words more
  double bad = 0;                 // share of records that cannot be read
  int threads = 0;                // 0: all cores
};

void Validate(const SynthConfig& config);

}  // namespace moat::configs
