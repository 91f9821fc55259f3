// Attention by cuDNN: the first of its engines' proposals that is deterministic, made once for a
// shape.
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <tuple>

#include "core/error.h"
#include "tensor/cuda/attention_graph.h"
#include "tensor/cuda/attention_plans.h"
#include "tensor/cuda/handle.h"

namespace moat::tensor::cuda {
namespace {

constexpr size_t kOldest = 91900;  // what the graph was tried with

// The library's proposals for the graph, favourites first; none where no engine takes it.
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
  return proposals;
}

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
  for (int64_t i = 0; i < count; ++i) {
    if (notes[static_cast<size_t>(i)] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) return false;
  }
  return true;
}

// Nothing where no engine takes the shape.
std::optional<CudnnDescriptor> PlanFor(const AttentionShape& shape, const CudnnDescriptor& device) {
  const CudnnDescriptor graph = AttentionGraph(shape);
  for (const CudnnDescriptor& proposal : Proposals(graph, device)) {
    if (!Deterministic(proposal)) continue;
    CudnnDescriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    plan.Set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, proposal);
    plan.Set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device);
    if (plan.TryFinalize() == CUDNN_STATUS_SUCCESS) return plan;
  }
  return {};
}

CudnnDescriptor Operands(const AttentionShape& s, const AttentionOperands& operands,
                         void* workspace) {
  float scale = 1.0f / std::sqrt(static_cast<float>(s.head_width));
  float nothing = -std::numeric_limits<float>::infinity();
  const char* const qkv = static_cast<const char*>(operands.qkv);
  constexpr int64_t kBytes = 2;  // of bf16
  const auto head = [&](int64_t index) {
    return const_cast<char*>(qkv) + index * s.head_width * kBytes;
  };
  const std::vector<std::pair<AttentionTensor, void*>> memory = {
      {AttentionTensor::kQueries, head(0)},
      {AttentionTensor::kKeys, head(s.heads)},
      {AttentionTensor::kValues, head(s.heads + s.kv_heads)},
      {AttentionTensor::kSpanStart, const_cast<int32_t*>(operands.span_start)},
      {AttentionTensor::kScale, &scale},
      {AttentionTensor::kNothing, &nothing},
      {AttentionTensor::kOut, operands.out},
      {AttentionTensor::kLogSum, operands.log_sum}};
  std::vector<int64_t> ids;
  std::vector<void*> pointers;
  for (const auto& [tensor, pointer] : memory) {
    ids.push_back(static_cast<int64_t>(tensor));
    pointers.push_back(pointer);
  }
  CudnnDescriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.Set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const int64_t>(ids));
  pack.Set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, std::ssize(pointers),
           pointers.data());
  pack.Set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  pack.Finalize();  // values are copied here
  return pack;
}

// The graph promises these, and heads side by side keep to it only if their width does.
bool Aligned(const AttentionShape& shape, const AttentionOperands& operands) {
  constexpr uintptr_t kAlignment = 16;
  constexpr int64_t kElements = 8;
  const auto at = [](const void* memory) { return reinterpret_cast<uintptr_t>(memory); };
  return shape.head_width % kElements == 0 &&
         (at(operands.qkv) | at(operands.out) | at(operands.log_sum) | at(operands.span_start)) %
                 kAlignment ==
             0;
}

class CudnnAttention : public AttentionPlans {
 public:
  CudnnAttention(cudaStream_t stream, int32_t index)
      : device_(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR) {
    device_.Set(CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &index);
    device_.Finalize();
    cudnnHandle_t handle = nullptr;
    Check(FindCudnn()->create(&handle), "cudnnCreate");
    handle_.reset(handle);
    Check(FindCudnn()->set_stream(handle, stream), "cudnnSetStream");
  }

  bool Run(const AttentionShape& s, const AttentionOperands& operands, void* workspace,
           size_t workspace_bytes) override {
    if (!Aligned(s, operands)) return false;
    const auto key = std::make_tuple(s.rows, s.seq_len, s.heads, s.kv_heads, s.head_width);
    auto found = plans_.find(key);
    if (found == plans_.end()) found = plans_.emplace(key, PlanFor(s, device_)).first;
    const std::optional<CudnnDescriptor>& plan = found->second;
    if (!plan) return false;
    const int64_t wanted = plan->Integer(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE);
    if (wanted > static_cast<int64_t>(workspace_bytes)) return false;
    const CudnnDescriptor pack = Operands(s, operands, workspace);
    Check(FindCudnn()->execute(handle_.get(), plan->get(), pack.get()), "attention");
    return true;
  }

 private:
  struct Destroy {
    void operator()(cudnnHandle_t handle) const { FindCudnn()->destroy(handle); }
  };
  CudnnDescriptor device_;
  std::unique_ptr<cudnnContext, Destroy> handle_;
  std::map<std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t>, std::optional<CudnnDescriptor>>
      plans_;
};

}  // namespace

int64_t CudnnForAttention() {
  const size_t version = FindCudnn() == nullptr ? 0 : FindCudnn()->version();
  return version < kOldest ? 0 : static_cast<int64_t>(version);
}

std::unique_ptr<AttentionPlans> MakeCudnnAttention(cudaStream_t stream, int index) {
  return std::make_unique<CudnnAttention>(stream, index);
}

int CudnnEnginesFor(const AttentionShape& shape, const std::string& device) {
  if (CudnnForAttention() == 0) return -1;
  CudnnDescriptor description(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  description.Set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                  std::ssize(device) + 1, device.c_str());
  description.Finalize();
  const CudnnDescriptor graph = AttentionGraph(shape);
  int engines = 0;
  for (const CudnnDescriptor& proposal : Proposals(graph, description)) {
    engines += Deterministic(proposal) ? 1 : 0;
  }
  return engines;
}

}  // namespace moat::tensor::cuda
