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
     "this build has no CUDA backend; use --device=cpu"},
    {[](const TrainConfig& c) { return c.dtype == core::DType::kBF16; }, "--dtype=bf16",
     "this version trains in f32; use --dtype=f32"},
    {[](const TrainConfig& c) { return c.tp > 1; }, "--tp",
     "this version has data parallelism only; use --tp=1 and --dp"},
    {[](const TrainConfig& c) { return c.reduction == Reduction::kFast; }, "--reduction=fast",
     "this version has the canonical reduction only; use --reduction=canonical"},
    {[](const TrainConfig& c) { return c.model.norm == Norm::kLayer; }, "--norm=layer",
     "this version has RMS norms only; use --norm=rms"},
    {[](const TrainConfig& c) { return c.model.position == Position::kLearned; },
     "--position=learned", "this version has rotary positions only; use --position=rotary"},
    {[](const TrainConfig& c) { return c.model.mlp == Mlp::kGelu; }, "--mlp=gelu",
     "this version has the SwiGLU MLP only; use --mlp=swiglu"},
    {[](const TrainConfig& c) { return c.model.bias; }, "--bias",
     "this version has linear layers without biases only; use --nobias"},
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
