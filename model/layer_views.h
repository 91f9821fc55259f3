// Where a layer's parameters stand in the table. Order as in model/architecture/architecture.h.
#pragma once

#include <cstdint>

namespace moat::model {

enum LayerParameter : int {
  kAttentionNorm,
  kWq,
  kWk,
  kWv,
  kWo,
  kFfnNorm,
  kWGate,
  kWUp,
  kWDown,
  kParametersPerLayer
};

inline int LayerIndex(int64_t layer, LayerParameter parameter) {
  return 1 + static_cast<int>(layer) * kParametersPerLayer + parameter;
}

}  // namespace moat::model
