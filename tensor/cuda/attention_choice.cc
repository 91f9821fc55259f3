// Whose attention a stream uses: our own kernels' unless the library's pass was measured to be
// faster, and found to be ours.
#include <algorithm>
#include <cstring>
#include <numeric>
#include <sstream>
#include <vector>

#include "core/error.h"
#include "core/logging.h"
#include "tensor/attention_verdict.h"
#include "tensor/cuda/planned_products.h"

namespace moat::tensor::cuda {
namespace {

using core::DType;

constexpr const char* kCudnn = "cudnn";
constexpr const char* kOwn = "own";
constexpr double kMostDifference = 5e-2;  // of two ways to round; a wrong mask is off by more
constexpr double kMostOfLogSums = 1e-3;   // f32, of scores in f32

std::string TextOf(const AttentionShape& s) {
  std::ostringstream text;
  text << "attention over " << s.rows << " x " << s.seq_len << " slots, " << s.heads << "/"
       << s.kv_heads << " heads of " << s.head_width;
  return text.str();
}

}  // namespace

AttentionPlans* PlannedProducts::Cudnn() {
  if (CudnnForAttention() == 0) return nullptr;
  if (!attention_) attention_ = MakeCudnnAttention(stream_.get(), stream_.index());
  return attention_.get();
}

bool PlannedProducts::Attend(const AttentionShape& s, const AttentionOperands& operands,
                             const std::function<void()>& own) {
  const auto library = [&] {
    return Cudnn() != nullptr &&
           Cudnn()->Forward(s, operands, stream_.workspace(), kWorkspaceBytes);
  };
  const int64_t slots = s.rows * s.seq_len;
  return ByChoice({TextOf(s),
                   library,
                   own,
                   {{operands.out, DType::kBF16, slots, {s.heads * s.head_width}, kMostDifference},
                    {operands.log_sum, DType::kF32, slots * s.heads, {1}, kMostOfLogSums}}});
}

bool PlannedProducts::AttendGrad(const AttentionShape& s, const AttentionGradOperands& operands,
                                 const std::function<void()>& own) {
  const auto library = [&] { return Cudnn() != nullptr && Cudnn()->Backward(s, operands); };
  const int64_t keys = s.kv_heads * s.head_width;
  return ByChoice({"gradient of " + TextOf(s),
                   library,
                   own,
                   {{operands.dqkv,
                     DType::kBF16,
                     s.rows * s.seq_len,
                     {s.heads * s.head_width, keys, keys},
                     kMostDifference}}});
}

bool PlannedProducts::ByChoice(const Pass& pass) {
  const auto chosen = attention_choices_.find(pass.name);
  if (chosen != attention_choices_.end()) return chosen->second == kCudnn && pass.library();
  std::string choice = kOwn;
  if (measuring_) {
    if (pass.library() && IsFasterAndOurs(pass)) choice = kCudnn;
  } else if (const auto given = given_.algorithms.find(pass.name);
             given != given_.algorithms.end()) {
    choice = given->second;
  }
  attention_choices_[pass.name] = choice;
  if (choice != kCudnn) return false;
  if (pass.library()) return true;
  throw core::ConfigError("cuDNN does not take the " + pass.name +
                          " that it was chosen for; remove the run's choices of products to have "
                          "them tuned again");
}

// Its notes do not tell whether its bits are the same each time (attention_grad_graph.cc), so they
// are looked at again after the runs that were timed. REQUIRES: the library has just run.
bool PlannedProducts::IsFasterAndOurs(const Pass& pass) {
  const auto library = [&] { pass.library(); };
  std::vector<AttentionResult> results;
  for (const PassResult& of : pass.results) {
    results.push_back({{}, ValuesOf(of), {}, of.parts, of.most_difference});
  }
  pass.own();
  for (size_t i = 0; i < results.size(); ++i) results[i].own = ValuesOf(pass.results[i]);
  const double seconds = SecondsOf(library);
  for (size_t i = 0; i < results.size(); ++i) {
    results[i].later = ValuesOf(pass.results[i]);
    const std::string wrong = WhyNotOurs(results[i]);
    if (wrong.empty()) continue;
    core::Log(core::Log::kWarning) << "cuDNN's " << pass.name << " " << wrong << ": it is not used";
    return false;
  }
  return seconds < SecondsOf(pass.own);
}

std::vector<float> PlannedProducts::ValuesOf(const PassResult& of) {
  const int64_t width = std::accumulate(of.parts.begin(), of.parts.end(), int64_t{0});
  std::vector<char> bytes(static_cast<size_t>(of.slots * width * core::SizeOf(of.dtype)));
  Check(
      cudaMemcpyAsync(bytes.data(), of.memory, bytes.size(), cudaMemcpyDeviceToHost, stream_.get()),
      "copying attention's results");
  Check(cudaStreamSynchronize(stream_.get()), "measuring attention");
  std::vector<float> values(static_cast<size_t>(of.slots * width));
  if (of.dtype == DType::kF32) {
    std::memcpy(values.data(), bytes.data(), bytes.size());
  } else {
    const auto* const narrow = reinterpret_cast<const core::BFloat16*>(bytes.data());
    std::transform(narrow, narrow + values.size(), values.begin(),
                   [](core::BFloat16 value) { return static_cast<float>(value); });
  }
  return values;
}

bool AttentionByChoice(const AttentionShape& shape, const AttentionOperands& operands,
                       OwnAttention own, const Stream& stream) {
  return ProductsOf(stream).Attend(shape, operands, [&] { own(shape, operands, stream); });
}

bool AttentionGradByChoice(const AttentionShape& shape, const AttentionGradOperands& operands,
                           OwnAttentionGrad own, const Stream& stream) {
  return ProductsOf(stream).AttendGrad(shape, operands, [&] { own(shape, operands, stream); });
}

}  // namespace moat::tensor::cuda
