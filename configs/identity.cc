// The flags of a run's identity.
#include "configs/identity.h"

namespace moat::configs {

const std::vector<std::string>& IdentityFlags() {
  static const std::vector<std::string> flags = {
      "data",         "data_weights", "seed",     "seq_len",      "global_batch",   "pack",
      "loss_roles",   "vocab_size",   "layers",   "width",        "heads",          "kv_heads",
      "ffn",          "norm",         "position", "mlp",          "tie_embeddings", "bias",
      "rotary_base",  "norm_epsilon", "dropout",  "dtype",        "matmul_dtype",   "init_from",
      "lr",           "min_lr",       "warmup",   "weight_decay", "beta1",          "beta2",
      "adam_epsilon", "clip"};
  return flags;
}

const std::vector<std::string>& BitFlags() {
  static const std::vector<std::string> flags = {
      "micro_batch", "canonical_ways", "reduction", "tp", "device", "sequence_parallel"};
  return flags;
}

std::map<std::string, std::string> IdentityOf(const CommandLine& line) {
  std::map<std::string, std::string> identity;
  for (const std::string& flag : IdentityFlags()) {
    if (flag == "data" || flag == "data_weights" || line.value(flag).empty()) continue;
    identity[flag] = line.value(flag);
  }
  return identity;
}

}  // namespace moat::configs
