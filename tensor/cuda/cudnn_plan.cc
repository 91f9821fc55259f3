// Plans of a cuDNN graph.
#include "tensor/cuda/cudnn_plan.h"

#include <algorithm>

namespace moat::tensor::cuda {
namespace {

bool Deterministic(const CudnnDescriptor& proposal) {
  CudnnDescriptor engine(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t into = engine.get();
  int64_t count = 0;
  Check(FindCudnn()->get(proposal.get(), CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                         1, &count, &into),
        "asking for an engine");
  std::vector<cudnnBackendNumericalNote_t> notes(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  Check(FindCudnn()->get(engine.get(), CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                         std::ssize(notes), &count, notes.data()),
        "asking an engine");
  notes.resize(static_cast<size_t>(count));
  return std::find(notes.begin(), notes.end(), CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) ==
         notes.end();
}

}  // namespace

std::vector<CudnnDescriptor> Proposals(const CudnnDescriptor& graph,
                                       const CudnnDescriptor& device) {
  CudnnDescriptor wish(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
  wish.Set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph);
  wish.Set(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  wish.Set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device);
  if (wish.TryFinalize() != CUDNN_STATUS_SUCCESS) return {};
  constexpr int64_t kMost = 16;
  std::vector<CudnnDescriptor> proposals;
  std::vector<cudnnBackendDescriptor_t> into;
  for (int64_t i = 0; i < kMost; ++i) {
    into.push_back(proposals.emplace_back(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).get());
  }
  int64_t found = 0;
  Check(FindCudnn()->get(wish.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                         kMost, &found, into.data()),
        "asking for engines");
  proposals.erase(proposals.begin() + found, proposals.end());
  std::erase_if(proposals, [](const CudnnDescriptor& of) { return !Deterministic(of); });
  return proposals;
}

std::optional<CudnnDescriptor> PlanFor(const CudnnDescriptor& graph,
                                       const CudnnDescriptor& device) {
  for (const CudnnDescriptor& proposal : Proposals(graph, device)) {
    CudnnDescriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    plan.Set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, proposal);
    plan.Set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
    if (plan.TryFinalize() == CUDNN_STATUS_SUCCESS) return plan;
  }
  return {};
}

int64_t WorkspaceOf(const CudnnDescriptor& plan) {
  return plan.Integer(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
}

void Run(const CudnnDescriptor& plan, cudnnHandle_t handle,
         const std::vector<std::pair<int64_t, void*>>& memory, void* workspace) {
  std::vector<int64_t> ids;
  std::vector<void*> pointers;
  for (const auto& [tensor, pointer] : memory) {
    ids.push_back(tensor);
    pointers.push_back(pointer);
  }
  CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.Set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const int64_t>(ids));
  pack.Set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, std::ssize(pointers),
           pointers.data());
  pack.Set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  pack.Finalize();
  Check(FindCudnn()->execute(handle, plan.get(), pack.get()), "attention");
}

}  // namespace moat::tensor::cuda
