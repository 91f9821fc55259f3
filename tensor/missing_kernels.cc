// Functions of every kernel's type that only throw.
#include "tensor/missing_kernels.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace moat::tensor {
namespace {

// A text that a template may be made for.
template <size_t size>
struct Text {
  char text[size];
  constexpr Text(const char (&from)[size]) { std::copy_n(from, size, text); }
};

template <core::DeviceKind device, Text op, typename Result, typename... Arguments>
Result Refuse(Arguments...) {
  throw core::ConfigError(std::string(op.text) + " is not offered on " + Name(device) +
                          " yet; use --device=cpu");
}

template <core::DeviceKind device, Text op, typename Result, typename... Arguments>
void Fill(Result (*&entry)(Arguments...)) {
  if (entry == nullptr) entry = Refuse<device, op, Result, Arguments...>;
}

}  // namespace

template <core::DeviceKind device>
void RefuseMissingKernels(KernelTable* table) {
  Fill<device, "MatMul">(table->matmul);
  Fill<device, "ScaleFor">(table->scale_for);
  Fill<device, "Quantize">(table->quantize);
  Fill<device, "ScaledMatMul">(table->scaled_matmul);
  Fill<device, "BiasGrad">(table->bias_grad);
  Fill<device, "Embed">(table->embed);
  Fill<device, "EmbedGrad">(table->embed_grad);
  Fill<device, "RmsNorm">(table->rms_norm);
  Fill<device, "RmsNormGrad">(table->rms_norm_grad);
  Fill<device, "LayerNorm">(table->layer_norm);
  Fill<device, "LayerNormGrad">(table->layer_norm_grad);
  Fill<device, "Rotate">(table->rotate);
  Fill<device, "Attention">(table->attention);
  Fill<device, "AttentionGrad">(table->attention_grad);
  Fill<device, "AttentionCached">(table->attention_cached);
  Fill<device, "SwiGlu">(table->swiglu);
  Fill<device, "SwiGluGrad">(table->swiglu_grad);
  Fill<device, "Gelu">(table->gelu);
  Fill<device, "GeluGrad">(table->gelu_grad);
  Fill<device, "AddDropout">(table->add_dropout);
  Fill<device, "Dropout">(table->dropout);
  Fill<device, "Add">(table->add);
  Fill<device, "Cast">(table->to_f32);
  Fill<device, "Cast">(table->from_f32);
  Fill<device, "CrossEntropy">(table->cross_entropy);
  Fill<device, "PartStatistics">(table->part_statistics);
  Fill<device, "CrossEntropyOfPart">(table->cross_entropy_of_part);
  Fill<device, "AdamW">(table->adamw);
  Fill<device, "SumsOfSquares">(table->sums_of_squares);
  static_assert(sizeof(KernelTable) == 31 * sizeof(void (*)()),
                "a new kernel needs its line above, or its call would end the program; "
                "fused_product and check_attention may be missing");
}

template void RefuseMissingKernels<core::DeviceKind::kCpu>(KernelTable*);
template void RefuseMissingKernels<core::DeviceKind::kCuda>(KernelTable*);

}  // namespace moat::tensor
