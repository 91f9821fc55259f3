// What a model is: the sizes and choices that determine its parameters.
#pragma once

#include <cstdint>

namespace moat::configs {

enum class Norm { kRms, kLayer };
enum class Position { kRotary, kLearned };
enum class Mlp { kSwiglu, kGelu };
// What the backward pass computes again instead of keeping it.
enum class Recompute { kNone, kInner, kBlock };
// What the layers' matrix products are in: the type of activations, or FP8.
enum class MatmulDType { kSame, kFp8 };

const char* Name(Norm norm);            // "rms", "layer": as the flag says it
const char* Name(Position position);    // "rotary", "learned"
const char* Name(Mlp mlp);              // "swiglu", "gelu"
const char* Name(Recompute recompute);  // "none", "inner", "block"
const char* Name(MatmulDType dtype);    // "same", "fp8"

struct ModelConfig {
  int64_t vocab_size = 0;  // from the data set
  int64_t layers = 4;
  int64_t width = 256;
  int64_t heads = 4;
  int64_t kv_heads = 4;  // divides heads (grouped-query attention)
  int64_t ffn = 704;     // hidden width of the MLP
  int64_t seq_len = 256;
  Norm norm = Norm::kRms;
  Position position = Position::kRotary;
  Mlp mlp = Mlp::kSwiglu;
  bool tie_embeddings = false;
  bool bias = false;
  double rotary_base = 10000.0;
  double norm_epsilon = 1e-5;
  double dropout = 0.0;

  int64_t head_width() const { return width / heads; }
  bool operator==(const ModelConfig&) const = default;
};

// Can `tp` tensor ranks share the model? Each holds heads / tp heads, ffn / tp of the MLP, a part
// of the vocabulary, and kv_heads / tp key and value heads, or, where tp is a multiple of kv_heads,
// one that tp / kv_heads ranks share; with `sequence_parallel` seq_len / tp slots of each
// sequence's worth (whole for any number of sequences). Throws ConfigError with the equations, and
// which tp would do.
void ValidateTensorSplit(const ModelConfig& config, int tp, bool sequence_parallel);
// Products in FP8 take extents that 16 divides: width, seq_len, and a rank's part of the heads, of
// queries, keys and values together, and of the MLP. Throws ConfigError with the first that is not.
void ValidateFloat8(const ModelConfig& config, int tp);

// Throws ConfigError with the equation that does not hold: heads x head width = width, kv_heads
// divides heads, even head width for rotary positions, everything positive, dropout in [0, 1).
void Validate(const ModelConfig& config);

}  // namespace moat::configs
