// What `moat generate` does.
#pragma once

#include <cstdint>
#include <string>

namespace moat::configs {

struct GenerateConfig {
  std::string run_root = "runs";
  std::string run;
  std::string checkpoint;  // "": best if there is one, else newest; "newest", "best" or a directory
  std::string prompt;      // text to continue
  std::string
      chat;  // file with one JSON object with `messages`; the next assistant message is generated
  int64_t max_tokens = 128;
  double temperature = 0.8;  // 0: greedy
  int64_t top_k = 0;         // 0: off
  double top_p = 1.0;
  uint64_t seed = 1;
  int threads = 0;
  std::string device = "auto";  // auto: a CUDA device where there is one; cpu; cuda
  bool json = false;
};

void Validate(const GenerateConfig& config);

}  // namespace moat::configs
