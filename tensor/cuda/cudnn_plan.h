// Plans of a cuDNN graph: which of its engines compute it, and running one.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "tensor/cuda/cudnn.h"

namespace moat::tensor::cuda {

// The library's proposals for the graph that it does not call nondeterministic, favourites first.
std::vector<CudnnDescriptor> Proposals(const CudnnDescriptor& graph, const CudnnDescriptor& device);

// Of the first proposal that can be finished on this device; nothing where there is none.
std::optional<CudnnDescriptor> PlanFor(const CudnnDescriptor& graph, const CudnnDescriptor& device);

// Bytes of workspace that a plan wants.
int64_t WorkspaceOf(const CudnnDescriptor& plan);

// Enqueues the plan on the handle's stream. `memory`: of each tensor of the graph, by its number;
// values are copied before this returns.
void Run(const CudnnDescriptor& plan, cudnnHandle_t handle,
         const std::vector<std::pair<int64_t, void*>>& memory, void* workspace);

}  // namespace moat::tensor::cuda
