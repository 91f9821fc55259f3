// Attention by cuDNN: plans made once for a shape.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#include "tensor/cuda/attention_graph.h"
#include "tensor/cuda/attention_plans.h"
#include "tensor/cuda/cudnn_plan.h"
#include "tensor/cuda/handle.h"

namespace moat::tensor::cuda {
namespace {

using core::AttentionSlice;
using core::PlacedSlice;
using Memory = std::vector<std::pair<int64_t, void*>>;

constexpr size_t kOldest = 91900;  // what the graphs were tried with
constexpr int64_t kBytes = 2;      // of bf16

// What both graphs are told by value.
struct Values {
  explicit Values(const AttentionShape& s)
      : scale(1.0f / std::sqrt(static_cast<float>(s.head_width))) {}
  float scale, nothing = -std::numeric_limits<float>::infinity(), one = 1.0f;
};

void Add(Memory& memory, AttentionTensor tensor, const void* pointer) {
  memory.emplace_back(static_cast<int64_t>(tensor), const_cast<void*>(pointer));
}

// Heads lie side by side in a slot: `head` of the slice's first, of so many in all.
const char* HeadOf(const AttentionShape& s, const void* memory, int64_t row, int64_t head,
                   int64_t heads_in_all) {
  return static_cast<const char*>(memory) +
         (row * s.seq_len * heads_in_all + head) * s.head_width * kBytes;
}

// A slice's parts of qkv, or of its gradient.
void AddHeads(Memory& memory, const AttentionShape& s, const PlacedSlice& at, const void* qkv,
              AttentionTensor queries, AttentionTensor keys, AttentionTensor values) {
  const int64_t all = s.heads + 2 * s.kv_heads, group = s.heads / s.kv_heads;
  Add(memory, queries, HeadOf(s, qkv, at.row, at.kv_head * group, all));
  Add(memory, keys, HeadOf(s, qkv, at.row, s.heads + at.kv_head, all));
  Add(memory, values, HeadOf(s, qkv, at.row, s.heads + s.kv_heads + at.kv_head, all));
}

// What both passes read, and out and log_sum, which one writes and the other reads. The forward
// pass has everything in one slice.
Memory MemoryOfBoth(const AttentionShape& s, const PlacedSlice& at, const Values& values,
                    const int32_t* span_start, const void* qkv, const void* out,
                    const float* log_sum) {
  const int64_t head = at.kv_head * (s.heads / s.kv_heads);
  Memory memory;
  AddHeads(memory, s, at, qkv, AttentionTensor::kQueries, AttentionTensor::kKeys,
           AttentionTensor::kValues);
  Add(memory, AttentionTensor::kSpanStart, span_start + at.row * s.seq_len);
  Add(memory, AttentionTensor::kScale, &values.scale);
  Add(memory, AttentionTensor::kNothing, &values.nothing);
  Add(memory, AttentionTensor::kOut, HeadOf(s, out, at.row, head, s.heads));
  Add(memory, AttentionTensor::kLogSum, log_sum + (at.row * s.heads + head) * s.seq_len);
  return memory;
}

// The graphs promise these, and heads side by side keep to it only if their width does.
bool Aligned(const AttentionShape& shape, std::initializer_list<const void*> memory) {
  constexpr uintptr_t kAlignment = 16;
  return shape.head_width % core::kLibraryHeadStep == 0 &&
         std::all_of(memory.begin(), memory.end(), [](const void* at) {
           return reinterpret_cast<uintptr_t>(at) % kAlignment == 0;
         });
}

// Sums of dout * out of a slice, and behind them the plan's workspace.
struct GradScratch {
  GradScratch(const AttentionShape& s, const AttentionSlice& slice, float* memory)
      : delta(Up(reinterpret_cast<char*>(memory))),
        workspace(Up(delta + slice.rows * slice.kv_heads * (s.heads / s.kv_heads) * s.seq_len *
                                 static_cast<int64_t>(sizeof(float)))) {}
  char *delta, *workspace;

 private:
  static char* Up(char* at) {
    constexpr uintptr_t kAlignment = 256;
    return at + (kAlignment - reinterpret_cast<uintptr_t>(at) % kAlignment) % kAlignment;
  }
};

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

  bool Forward(const AttentionShape& s, const AttentionOperands& o, void* workspace,
               size_t workspace_bytes) override {
    if (!Aligned(s, {o.qkv, o.out})) return false;
    const std::optional<CudnnDescriptor>& plan = PlanOf(s, {});
    if (!plan || WorkspaceOf(*plan) > static_cast<int64_t>(workspace_bytes)) return false;
    const Values values(s);
    Run(*plan, handle_.get(), MemoryOfBoth(s, {}, values, o.span_start, o.qkv, o.out, o.log_sum),
        workspace);
    return true;
  }

  bool Backward(const AttentionShape& s, const AttentionGradOperands& o) override {
    if (!Aligned(s, {o.qkv, o.out, o.dout, o.dqkv})) return false;
    const std::vector<PlacedSlice> slices = core::GradSlices(s);
    const bool taken = !slices.empty() && std::all_of(slices.begin(), slices.end(), [&](auto& of) {
      return Fits(s, of.slice, o.workspace);
    });
    if (!taken) return false;
    for (const PlacedSlice& slice : slices) BackwardSlice(s, slice, o);
    return true;
  }

 private:
  using Key = std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t>;

  // Of the forward pass without a slice. Nothing where no engine takes it.
  const std::optional<CudnnDescriptor>& PlanOf(const AttentionShape& s,
                                               const AttentionSlice& slice) {
    const Key key{slice.rows == 0 ? s.rows : 0,
                  s.seq_len,
                  s.heads,
                  s.kv_heads,
                  s.head_width,
                  slice.rows,
                  slice.kv_heads};
    auto found = plans_.find(key);
    if (found == plans_.end()) {
      const CudnnDescriptor graph =
          slice.rows == 0 ? AttentionGraph(s) : AttentionGradGraph(s, slice);
      found = plans_.emplace(key, PlanFor(graph, device_)).first;
    }
    return found->second;
  }

  bool Fits(const AttentionShape& s, const AttentionSlice& slice, float* workspace) {
    const std::optional<CudnnDescriptor>& plan = PlanOf(s, slice);
    if (!plan) return false;
    const char* const begin = reinterpret_cast<const char*>(workspace);
    return GradScratch(s, slice, workspace).workspace + WorkspaceOf(*plan) <=
           begin + core::GradSliceBytes(s, core::GradSliceOf(s));
  }

  void BackwardSlice(const AttentionShape& s, const PlacedSlice& at,
                     const AttentionGradOperands& o) {
    const Values values(s);
    const GradScratch scratch(s, at.slice, o.workspace);
    Memory memory = MemoryOfBoth(s, at, values, o.span_start, o.qkv, o.out, o.log_sum);
    const int64_t head = at.kv_head * (s.heads / s.kv_heads);
    Add(memory, AttentionTensor::kDout, HeadOf(s, o.dout, at.row, head, s.heads));
    Add(memory, AttentionTensor::kDelta, scratch.delta);
    Add(memory, AttentionTensor::kOne, &values.one);
    AddHeads(memory, s, at, o.dqkv, AttentionTensor::kQueriesGrad, AttentionTensor::kKeysGrad,
             AttentionTensor::kValuesGrad);
    Run(*PlanOf(s, at.slice), handle_.get(), memory, scratch.workspace);
  }

  struct Destroy {
    void operator()(cudnnHandle_t handle) const { FindCudnn()->destroy(handle); }
  };
  CudnnDescriptor device_;
  std::unique_ptr<cudnnContext, Destroy> handle_;
  std::map<Key, std::optional<CudnnDescriptor>> plans_;
};

}  // namespace

int64_t CudnnForAttention() {
  const size_t version = FindCudnn() == nullptr ? 0 : FindCudnn()->version();
  return version < kOldest ? 0 : static_cast<int64_t>(version);
}

std::unique_ptr<AttentionPlans> MakeCudnnAttention(cudaStream_t stream, int index) {
  return std::make_unique<CudnnAttention>(stream, index);
}

std::optional<CudnnEngines> CudnnEnginesFor(AttentionPass pass, const AttentionShape& shape,
                                            const std::string& device) {
  if (CudnnForAttention() == 0) return {};
  CudnnDescriptor description(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  description.Set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                  std::ssize(device) + 1, device.c_str());
  description.Finalize();
  CudnnEngines engines;
  const AttentionSlice slice = core::GradSliceOf(shape);
  if (pass == AttentionPass::kBackward && slice.rows == 0) return engines;
  const CudnnDescriptor graph =
      pass == AttentionPass::kForward ? AttentionGraph(shape) : AttentionGradGraph(shape, slice);
  for (const CudnnDescriptor& proposal : Proposals(graph, description)) {
    ++engines.count;
    engines.workspace_bytes =
        std::max(engines.workspace_bytes, proposal.Integer(CUDNN_ATTR_ENGINECFG_WORKSPACE_SIZE));
  }
  return engines;
}

}  // namespace moat::tensor::cuda
