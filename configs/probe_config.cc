// What a probe may be.
#include "configs/probe_config.h"

#include <algorithm>

#include "configs/bounds.h"
#include "core/nearest.h"

namespace moat::configs {

bool ProbeConfig::Measures(const std::string& what) const {
  return measure.empty() || std::find(measure.begin(), measure.end(), what) != measure.end();
}

void Validate(const ProbeConfig& config) {
  const std::vector<std::string> known = {"gemm", "gemm_f32", "gemm_bf16", "memory",     "disk",
                                          "data", "cuda",     "pairs",     "collectives"};
  for (const std::string& what : config.measure) {
    if (std::find(known.begin(), known.end(), what) != known.end()) continue;
    const std::string nearest = core::NearestName(what, known);
    Expected("measure", what,
             "gemm (or gemm_f32, gemm_bf16), memory, disk, data, cuda, pairs or collectives" +
                 (nearest.empty() ? "" : "; did you mean " + nearest + "?"));
  }
  AtLeast("threads", config.threads, 0);
  Number("seconds", config.seconds, config.seconds > 0 && config.seconds <= 600,
         "a number above 0, at most 600");
}

}  // namespace moat::configs
