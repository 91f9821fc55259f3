// A stream's products: the plans made so far and how their algorithms are chosen.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tensor/cuda/attention_plans.h"
#include "tensor/cuda/matmul_plan.h"
#include "tensor/cuda/stream.h"

namespace moat::tensor::cuda {

class PlannedProducts : public ProductTuner {
 public:
  explicit PlannedProducts(CudaStream& stream);

  std::string library() override;
  void Measure(bool on) override { measuring_ = on; }
  ProductChoices choices() override;
  void Use(const ProductChoices& choices) override;

  // Enqueues the product. False where the library has no algorithm for it, or where its ending is
  // to be taken in parts; `in_parts` enqueues those, and is null where there are none.
  bool Enqueue(const MatmulShape& shape, const MatmulOperands& operands,
               const std::function<void()>& in_parts);
  // AttentionByChoice, AttentionGradByChoice: tensor/cuda/attention_choice.cc.
  bool Attend(const AttentionShape& shape, const AttentionOperands& operands,
              const std::function<void()>& own);
  bool AttendGrad(const AttentionShape& shape, const AttentionGradOperands& operands,
                  const std::function<void()>& own);

 private:
  std::optional<MatmulPlan> Choose(const MatmulShape& shape, const MatmulOperands& operands,
                                   const std::function<void()>& in_parts);
  std::optional<MatmulPlan> Fastest(const MatmulShape& shape, const MatmulOperands& operands,
                                    const std::function<void()>& in_parts);
  void Run(const MatmulPlan& plan, const MatmulOperands& operands);
  // What a pass of attention writes: [slots, the sum of parts] on the device, f32 or bf16.
  struct PassResult {
    const void* memory;
    core::DType dtype;
    int64_t slots;
    std::vector<int64_t> parts;  // tensor/attention_verdict.h
    double most_difference;
  };
  struct Pass {
    std::string name;
    std::function<bool()> library;  // false, with nothing done, where it does not take it
    std::function<void()> own;
    std::vector<PassResult> results;
  };
  bool ByChoice(const Pass& pass);
  bool IsFasterAndOurs(const Pass& pass);
  std::vector<float> ValuesOf(const PassResult& of);
  AttentionPlans* Cudnn();  // null where there is none
  double SecondsOf(const std::function<void()>& work);

  CudaStream& stream_;
  BlasHandle blas_;
  bool measuring_ = false;
  ProductChoices given_;
  std::map<MatmulShape, std::optional<MatmulPlan>> plans_;
  std::map<std::string, std::string> attention_choices_;  // by pass and shape
  std::unique_ptr<AttentionPlans> attention_;             // made when it is first tried
};

// Of a stream of the CUDA device.
PlannedProducts& ProductsOf(const Stream& stream);

}  // namespace moat::tensor::cuda
