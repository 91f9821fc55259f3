// The table of choices that are refused: who builds one deletes its line.
#include "configs/not_offered.h"

#include <string>

#include "core/error.h"

namespace moat::configs {
namespace {

struct Refusal {
  bool (*chosen)(const TrainConfig&);
  const char* flag;
  const char* why;
};

const Refusal kRefusals[] = {
    {[](const TrainConfig& c) { return c.device == "cuda"; }, "--device=cuda",
     "this version trains on CPUs: models run on CUDA devices, the trainer does not yet; use "
     "--device=cpu"},
};

}  // namespace

void RefuseNotOffered(const TrainConfig& config) {
  for (const Refusal& refusal : kRefusals) {
    if (refusal.chosen(config)) {
      throw core::ConfigError(std::string(refusal.flag) + " is not offered: " + refusal.why);
    }
  }
}

}  // namespace moat::configs
