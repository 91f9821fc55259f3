// Whose attention a stream uses: our own kernels' unless the library's pass was measured to be
// faster, and found to be ours.
#include <cmath>
#include <cstring>
#include <numeric>
#include <sstream>
#include <vector>

#include "core/error.h"
#include "core/logging.h"
#include "tensor/cuda/planned_products.h"

namespace moat::tensor::cuda {
namespace {

constexpr const char* kCudnn = "cudnn";
constexpr const char* kOwn = "own";
constexpr double kMostDifference = 5e-2;  // of two ways to round; a wrong mask is off by more

std::string TextOf(const AttentionShape& s) {
  std::ostringstream text;
  text << "attention over " << s.rows << " x " << s.seq_len << " slots, " << s.heads << "/"
       << s.kv_heads << " heads of " << s.head_width;
  return text.str();
}

// Of the part of slots, `width` elements each, that differs most: relative, in L2. A gradient of
// values is often far larger than one of queries. NaN where it cannot be told.
double Difference(const std::vector<core::BFloat16>& a, const std::vector<core::BFloat16>& b,
                  const std::vector<int64_t>& parts) {
  const auto width = static_cast<size_t>(std::accumulate(parts.begin(), parts.end(), int64_t{0}));
  double most = 0;
  size_t begin = 0;
  for (const int64_t part : parts) {
    const size_t end = begin + static_cast<size_t>(part);
    double squares = 0, of_b = 0;
    for (size_t slot = 0; slot < b.size(); slot += width) {
      for (size_t i = slot + begin; i < slot + end; ++i) {
        const double want = static_cast<float>(b[i]), off = static_cast<float>(a[i]) - want;
        squares += off * off;
        of_b += want * want;
      }
    }
    const double difference = std::sqrt(squares / of_b);
    if (!(difference <= most)) most = difference;
    begin = end;
  }
  return most;
}

bool SameBits(const std::vector<core::BFloat16>& a, const std::vector<core::BFloat16>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(core::BFloat16)) == 0;
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
  return ByChoice(
      {TextOf(s), library, own, operands.out, s.rows * s.seq_len, {s.heads * s.head_width}});
}

bool PlannedProducts::AttendGrad(const AttentionShape& s, const AttentionGradOperands& operands,
                                 const std::function<void()>& own) {
  const auto library = [&] { return Cudnn() != nullptr && Cudnn()->Backward(s, operands); };
  const int64_t keys = s.kv_heads * s.head_width;
  return ByChoice({"gradient of " + TextOf(s),
                   library,
                   own,
                   operands.dqkv,
                   s.rows * s.seq_len,
                   {s.heads * s.head_width, keys, keys}});
}

bool PlannedProducts::ByChoice(const Pass& pass) {
  const auto chosen = attention_choices_.find(pass.name);
  if (chosen != attention_choices_.end()) return chosen->second == kCudnn && pass.library();
  std::string choice = kOwn;
  if (measuring_) {
    const auto library = [&] { pass.library(); };
    if (pass.library() && IsOurs(pass) && SecondsOf(library) < SecondsOf(pass.own)) {
      choice = kCudnn;
    }
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

// To rounding, and with the same bits twice: its notes do not tell (attention_grad_graph.cc).
bool PlannedProducts::IsOurs(const Pass& pass) {
  pass.own();
  const std::vector<core::BFloat16> want = ResultOf(pass);
  pass.library();
  const std::vector<core::BFloat16> got = ResultOf(pass);
  pass.library();
  const std::vector<core::BFloat16> again = ResultOf(pass);
  const double difference = Difference(got, want, pass.parts);
  if (!SameBits(got, again)) {
    core::Log(core::Log::kWarning)
        << "cuDNN's " << pass.name << " has other bits each time: it is not used";
    return false;
  }
  if (difference < kMostDifference) return true;  // not where it is NaN
  core::Log(core::Log::kWarning) << "cuDNN's " << pass.name << " differs from our own by "
                                 << difference << " (relative, at most " << kMostDifference
                                 << "): it is not used";
  return false;
}

std::vector<core::BFloat16> PlannedProducts::ResultOf(const Pass& pass) {
  const int64_t width = std::accumulate(pass.parts.begin(), pass.parts.end(), int64_t{0});
  std::vector<core::BFloat16> values(static_cast<size_t>(pass.slots * width));
  Check(cudaMemcpyAsync(values.data(), pass.result, values.size() * sizeof(core::BFloat16),
                        cudaMemcpyDeviceToHost, stream_.get()),
        "copying attention's results");
  Check(cudaStreamSynchronize(stream_.get()), "measuring attention");
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
