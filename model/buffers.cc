// The transformer's activations: views of the planned arena, and their fronts for smaller
// micro-batches.
#include "model/transformer.h"

namespace moat::model {

using tensor::View;

View Transformer::Planned(const std::string& name) {
  const ActivationBuffer& buffer = plan_.at(name);
  return {static_cast<char*>(arena_.view().data) + buffer.offset, buffer.elements, buffer.dtype,
          core::DeviceKind::kCpu};
}

Transformer::LayerBuffers Transformer::PlannedLayer(int64_t layer) {
  const std::string name = "layers." + std::to_string(layer) + ".";
  return {Planned(name + "input"),
          Planned(name + "attention_norm"),
          Planned(name + "attention_norm.inverse"),
          Planned(name + "qkv"),
          Planned(name + "attention"),
          Planned(name + "log_sum"),
          Planned(name + "middle"),
          Planned(name + "ffn_norm"),
          Planned(name + "ffn_norm.inverse"),
          Planned(name + "gate_up"),
          Planned(name + "ffn")};
}

Transformer::CommonBuffers Transformer::PlannedCommon() {
  return {Planned("tokens"),
          Planned("targets"),
          Planned("span_start"),
          Planned("positions"),
          Planned("weights"),
          Planned("losses"),
          Planned("logits"),
          Planned("final.input"),
          Planned("final_norm.inverse"),
          Planned("final_norm"),
          Planned("branch"),
          Planned("attention.workspace"),
          Planned("gradient"),
          Planned("gradient.branch"),
          Planned("gradient.qkv"),
          Planned("gradient.attention"),
          Planned("gradient.gate_up"),
          Planned("gradient.ffn")};
}

Transformer::LayerBuffers Transformer::LayerFor(int64_t layer, int64_t rows) const {
  LayerBuffers at = layers_[static_cast<size_t>(layer)];
  for (View* view :
       {&at.input, &at.attention_norm, &at.attention_inverse, &at.qkv, &at.attention, &at.log_sum,
        &at.middle, &at.ffn_norm, &at.ffn_inverse, &at.gate_up, &at.ffn}) {
    *view = view->Range(0, view->count / max_rows_ * rows);
  }
  return at;
}

Transformer::CommonBuffers Transformer::CommonFor(int64_t rows) const {
  CommonBuffers at = common_;  // all but the logits and the workspace grow with the rows
  for (View* view : {&at.tokens, &at.targets, &at.span_start, &at.positions, &at.weights,
                     &at.losses, &at.final_input, &at.final_inverse, &at.final_norm, &at.branch,
                     &at.gradient, &at.gradient_branch, &at.gradient_qkv, &at.gradient_attention,
                     &at.gradient_gate_up, &at.gradient_ffn}) {
    *view = view->Range(0, view->count / max_rows_ * rows);
  }
  return at;
}

}  // namespace moat::model
