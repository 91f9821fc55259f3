// What makes a run the same run.
#include "launch/identity.h"

#include "core/error.h"

namespace moat::launch {
namespace {

// The model, what it is fed, and how it is updated. Everything else may change: how long, how
// often, where, on how many ranks.
const char* const kIdentity[] = {
    "data",       "seed",         "seq_len",      "global_batch", "loss_roles",
    "vocab_size", "layers",       "width",        "heads",        "kv_heads",
    "ffn",        "norm",         "position",     "mlp",          "tie_embeddings",
    "bias",       "rotary_base",  "norm_epsilon", "dropout",      "dtype",
    "lr",         "min_lr",       "warmup",       "weight_decay", "beta1",
    "beta2",      "adam_epsilon", "clip"};

// Allowed, but sums are taken in another order from here on.
const char* const kBits[] = {"micro_batch", "canonical_ways", "reduction", "tp", "device"};

bool Same(const std::string& flag, const std::string& before, const std::string& now) {
  if (before == now) return true;
  namespace fs = std::filesystem;
  return flag == "data" &&
         fs::weakly_canonical(fs::absolute(before)) == fs::weakly_canonical(fs::absolute(now));
}

}  // namespace

std::vector<std::string> CheckSameRun(const std::filesystem::path& run_flags,
                                      const configs::CommandLine& wanted) {
  if (!std::filesystem::exists(run_flags)) return {};
  const auto before = configs::CommandLine::Parse(
      "train", std::vector<std::string>{"--flagfile=" + run_flags.string()});
  std::string differences;
  for (const char* flag : kIdentity) {
    if (Same(flag, before.value(flag), wanted.value(flag))) continue;
    differences += (differences.empty() ? "" : "; ") +
                   ("--" + std::string(flag) + " was " + before.value(flag)) + ", now " +
                   wanted.value(flag);
  }
  if (!differences.empty()) {
    throw core::ConfigError(run_flags.parent_path().string() +
                            " is a run of another configuration: " + differences +
                            "; launch it as it was, or choose another --run");
  }
  std::vector<std::string> notes;
  for (const char* flag : kBits) {
    if (before.value(flag) == wanted.value(flag)) continue;
    notes.push_back("the chain of equal bits ends here: --" + std::string(flag) + " was " +
                    before.value(flag) + ", now " + wanted.value(flag));
  }
  return notes;
}

}  // namespace moat::launch
