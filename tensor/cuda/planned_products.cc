// Plans of a stream's products; measuring which algorithm is the fastest.
#include "tensor/cuda/planned_products.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/error.h"

namespace moat::tensor::cuda {
namespace {

constexpr int kProposals = 16;  // of the library, that are measured
constexpr int kRuns = 8, kRounds = 2;

}  // namespace

PlannedProducts::PlannedProducts(CudaStream& stream) : stream_(stream) {
  Check(cublasLtCreate(blas_.out()), "cublasLtCreate");
}

std::string PlannedProducts::library() {
  cudaDeviceProp device;
  Check(cudaGetDeviceProperties(&device, stream_.index()), "looking at a device");
  const int64_t cudnn = CudnnForAttention();
  return "cuBLASLt " + std::to_string(cublasLtGetVersion()) +
         (cudnn > 0 ? " and cuDNN " + std::to_string(cudnn) : "") + " on " + device.name + " (sm_" +
         std::to_string(device.major) + std::to_string(device.minor) + ", " +
         std::to_string(device.multiProcessorCount) + " multiprocessors)";
}

ProductChoices PlannedProducts::choices() {
  ProductChoices choices{library(), attention_choices_};
  for (const auto& [shape, plan] : plans_) {
    choices.algorithms[TextOf(shape)] = plan ? plan->algorithm() : kInParts;
  }
  return choices;
}

void PlannedProducts::Use(const ProductChoices& choices) {
  if (choices.made_for != library()) {
    throw core::ConfigError("products were chosen for " + choices.made_for + ", and this is " +
                            library());
  }
  given_ = choices;
  plans_.clear();
  attention_choices_.clear();
}

bool PlannedProducts::Enqueue(const MatmulShape& shape, const MatmulOperands& operands,
                              const std::function<void()>& in_parts) {
  auto found = plans_.find(shape);
  if (found == plans_.end()) {
    found = plans_.emplace(shape, Choose(shape, operands, in_parts)).first;
  }
  if (!found->second) return false;
  Run(*found->second, operands);
  return true;
}

std::optional<MatmulPlan> PlannedProducts::Choose(const MatmulShape& shape,
                                                  const MatmulOperands& operands,
                                                  const std::function<void()>& in_parts) {
  if (!MayEndIn(shape)) return {};
  if (measuring_) return Fastest(shape, operands, in_parts);
  const auto given = given_.algorithms.find(TextOf(shape));
  if (given != given_.algorithms.end() && given->second == kInParts) return {};
  MatmulPlan plan(shape, operands);
  if (given != given_.algorithms.end()) {
    plan.Take(given->second, blas_.get());
    return plan;
  }
  const auto proposals = plan.Proposals(shape, blas_.get(), kWorkspaceBytes, 1);
  if (proposals.empty()) return {};
  plan.Take(proposals[0]);
  return plan;
}

// Of equally fast ones the library's earlier proposal.
std::optional<MatmulPlan> PlannedProducts::Fastest(const MatmulShape& shape,
                                                   const MatmulOperands& operands,
                                                   const std::function<void()>& in_parts) {
  MatmulPlan plan(shape, operands);
  const auto proposals = plan.Proposals(shape, blas_.get(), kWorkspaceBytes, kProposals);
  if (proposals.empty()) return {};
  const cublasLtMatmulAlgo_t* best = nullptr;
  double least = std::numeric_limits<double>::infinity();
  for (const cublasLtMatmulAlgo_t& proposal : proposals) {
    plan.Take(proposal);
    const double seconds = SecondsOf([&] { Run(plan, operands); });
    if (seconds >= least) continue;
    least = seconds;
    best = &proposal;
  }
  if (in_parts && SecondsOf(in_parts) < least) return {};
  plan.Take(*best);
  return plan;
}

void PlannedProducts::Run(const MatmulPlan& plan, const MatmulOperands& operands) {
  plan.Run(operands, blas_.get(), stream_.workspace(), kWorkspaceBytes, stream_.get());
}

// Of one run, once the work's own choices are made; the fastest round counts, since other work may
// disturb.
double PlannedProducts::SecondsOf(const std::function<void()>& work) {
  EventHandle begin, end;
  Check(cudaEventCreate(begin.out()), "cudaEventCreate");
  Check(cudaEventCreate(end.out()), "cudaEventCreate");
  work();
  float least = std::numeric_limits<float>::infinity();
  for (int round = 0; round < kRounds; ++round) {
    Check(cudaEventRecord(begin.get(), stream_.get()), "cudaEventRecord");
    for (int run = 0; run < kRuns; ++run) work();
    Check(cudaEventRecord(end.get(), stream_.get()), "cudaEventRecord");
    Check(cudaEventSynchronize(end.get()), "measuring a product");
    float milliseconds = 0;
    Check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cudaEventElapsedTime");
    least = std::min(least, milliseconds);
  }
  return static_cast<double>(least) * 1e-3 / kRuns;
}

PlannedProducts& ProductsOf(const Stream& stream) {
  return static_cast<PlannedProducts&>(*Of(stream).product_tuner());
}

std::unique_ptr<ProductTuner> MakeProducts(CudaStream& stream) {
  return std::make_unique<PlannedProducts>(stream);
}

}  // namespace moat::tensor::cuda
