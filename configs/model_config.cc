// What a model may be.
#include "configs/model_config.h"

#include <algorithm>
#include <string>

#include "configs/bounds.h"
#include "core/float8.h"

namespace moat::configs {

const char* Name(Norm norm) { return norm == Norm::kRms ? "rms" : "layer"; }
const char* Name(Position position) { return position == Position::kRotary ? "rotary" : "learned"; }
const char* Name(Recompute recompute) {
  switch (recompute) {
    case Recompute::kNone:
      return "none";
    case Recompute::kInner:
      return "inner";
    case Recompute::kBlock:
      return "block";
  }
  return "unknown";
}

const char* Name(MatmulDType dtype) { return dtype == MatmulDType::kSame ? "same" : "fp8"; }

const char* Name(Mlp mlp) { return mlp == Mlp::kSwiglu ? "swiglu" : "gelu"; }

namespace {

// The first equation that does not hold; "" where all do.
std::string BrokenEquation(const ModelConfig& c, int64_t tp, bool sequence_parallel) {
  const auto broken = [&](const char* what, int64_t extent) {
    return std::string(what) + " / tp = " + std::to_string(extent) + " / " + std::to_string(tp) +
           " is not whole";
  };
  if (c.heads % tp != 0) return broken("heads", c.heads);
  if (c.kv_heads % tp != 0 && tp % c.kv_heads != 0) {
    return broken("kv_heads", c.kv_heads) + ", nor is tp / kv_heads";
  }
  if (c.ffn % tp != 0) return broken("ffn", c.ffn);
  if (sequence_parallel && c.seq_len % tp != 0) {
    return broken("seq_len", c.seq_len) + ", which --sequence_parallel needs";
  }
  // 0: of a data set that is not looked at yet.
  if (c.vocab_size > 0 && c.vocab_size < tp) {
    return "vocab_size / tp = " + std::to_string(c.vocab_size) + " / " + std::to_string(tp) +
           " leaves a rank without a token";
  }
  return "";
}

}  // namespace

void ValidateTensorSplit(const ModelConfig& config, int tp, bool sequence_parallel) {
  const std::string broken = BrokenEquation(config, tp, sequence_parallel);
  if (broken.empty()) return;
  std::string would_do;
  for (int64_t other = 1; other <= config.heads; ++other) {
    if (!BrokenEquation(config, other, sequence_parallel).empty()) continue;
    would_do += (would_do.empty() ? "" : ", ") + std::to_string(other);
  }
  throw core::ConfigError(broken + "; a --tp of " + would_do + " would do");
}

void ValidateFloat8(const ModelConfig& c, int tp) {
  const int64_t heads = c.heads / tp, kv_heads = std::max<int64_t>(1, c.kv_heads / tp);
  const struct {
    const char* what;
    int64_t extent;
  } extents[] = {
      {"--width", c.width},
      {"--seq_len", c.seq_len},
      {"heads / tp x head width", heads * c.head_width()},
      {"(heads + 2 kv_heads) / tp x head width", (heads + 2 * kv_heads) * c.head_width()},
      {"--ffn / tp", c.ffn / tp}};
  for (const auto& [what, extent] : extents) {
    if (extent % core::kFloat8Step == 0) continue;
    throw core::ConfigError("--matmul_dtype=fp8: " + std::string(what) + " = " +
                            std::to_string(extent) + ", and FP8 products take multiples of " +
                            std::to_string(core::kFloat8Step) +
                            "; change it, or use "
                            "--matmul_dtype=same");
  }
}

void Validate(const ModelConfig& config) {
  const auto n = [](int64_t value) { return std::to_string(value); };
  AtLeast("vocab_size", config.vocab_size, 0);
  AtLeast("layers", config.layers, 1);
  AtLeast("width", config.width, 1);
  AtLeast("heads", config.heads, 1);
  AtLeast("kv_heads", config.kv_heads, 1);
  AtLeast("ffn", config.ffn, 1);
  AtLeast("seq_len", config.seq_len, 2);
  if (config.width % config.heads != 0) {
    throw core::ConfigError("heads x head width = width does not hold: --width=" + n(config.width) +
                            " / --heads=" + n(config.heads) + " is not whole");
  }
  if (config.heads % config.kv_heads != 0) {
    throw core::ConfigError("heads / kv_heads = " + n(config.heads) + " / " + n(config.kv_heads) +
                            " is not whole; choose a --kv_heads that divides --heads");
  }
  if (config.position == Position::kRotary && config.head_width() % 2 != 0) {
    throw core::ConfigError(
        "head width = width / heads = " + n(config.width) + " / " + n(config.heads) + " = " +
        n(config.head_width()) +
        " is odd; rotary positions need an even one: change --width or --heads");
  }
  Number("rotary_base", config.rotary_base, config.rotary_base > 1, "a number above 1");
  Number("norm_epsilon", config.norm_epsilon, config.norm_epsilon > 0, "a number above 0");
  Number("dropout", config.dropout, config.dropout >= 0 && config.dropout < 1,
         "a number of at least 0 and below 1");
}

}  // namespace moat::configs
