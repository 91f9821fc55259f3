// Timing oneDNN's matmul primitive.
#include "programs/moat_probe/gemm.h"

#include <algorithm>
#include <cstring>
#include <dnnl.hpp>
#include <unordered_map>

#include "core/clock.h"
#include "programs/moat_probe/team.h"

namespace moat::programs {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

constexpr int64_t kTokens = 1024;
// [n, k] of the products with weights: queries, keys and values; attention's output; into the MLP
// and out of it; the logits.
constexpr int64_t kWeights[][2] = {{2304, 768}, {768, 768}, {3072, 768}, {768, 3072}, {50257, 768}};

// oneDNN 3 dropped the descriptor that its version 2 wants in between.
template <typename Matmul>
auto Describe(const dnnl::engine& engine, const memory::desc& source, const memory::desc& weights,
              const memory::desc& result) {
  if constexpr (requires { typename Matmul::desc; }) {
    return typename Matmul::primitive_desc(typename Matmul::desc(source, weights, result), engine);
  } else {
    return typename Matmul::primitive_desc(engine, source, weights, result);
  }
}

// One product in one layout, ready to run.
class Product {
 public:
  Product(const dnnl::engine& engine, memory::data_type type, int64_t n, int64_t k, bool packed)
      : stream_(engine) {
    const memory::desc source({kTokens, k}, type, Tag::ab);
    const memory::desc weights({k, n}, type, packed ? Tag::any : Tag::ab);
    const memory::desc result({kTokens, n}, memory::data_type::f32, Tag::ab);
    const auto described = Describe<dnnl::matmul>(engine, source, weights, result);
    primitive_ = dnnl::matmul(described);
    arguments_ = {{DNNL_ARG_SRC, Filled(described.src_desc(), engine)},
                  {DNNL_ARG_WEIGHTS, Filled(described.weights_desc(), engine)},
                  {DNNL_ARG_DST, Filled(described.dst_desc(), engine)}};
  }

  double Seconds() {
    const double start = core::MonotonicSeconds();
    primitive_.execute(stream_, arguments_);
    stream_.wait();
    return core::MonotonicSeconds() - start;
  }

 private:
  // Small normal numbers in either type; zeros would let hardware off lightly.
  static memory Filled(const memory::desc& described, const dnnl::engine& engine) {
    memory made(described, engine);
    std::memset(made.get_data_handle(), 0x3c, described.get_size());
    return made;
  }

  dnnl::stream stream_;
  dnnl::matmul primitive_;
  std::unordered_map<int, memory> arguments_;
};

struct Candidate {
  int64_t n = 0, k = 0;
  bool packed = false;
  Product product;
  double seconds = 1e30;  // of the best round
};

double Gflop(const Candidate& c) {
  return 2e-9 * static_cast<double>(kTokens) * static_cast<double>(c.n) * static_cast<double>(c.k);
}

GemmRates Summarize(const std::vector<Candidate>& candidates) {
  GemmRates rates;
  double gflop = 0, seconds = 0;
  for (size_t i = 0; i < candidates.size(); i += 2) {  // plain, then packed
    const Candidate& best =
        candidates[i + 1].seconds < candidates[i].seconds ? candidates[i + 1] : candidates[i];
    gflop += Gflop(best);
    seconds += best.seconds;
    rates.products.push_back(
        {kTokens, best.n, best.k, Gflop(best) / best.seconds, best.packed ? "packed" : "plain"});
    rates.best = std::max(rates.best, rates.products.back().gflops);
  }
  rates.whole = gflop / seconds;
  return rates;
}

}  // namespace

GemmRates MeasureGemm(bool bf16, int threads, double seconds) {
  const Team team(threads);
  const auto type = bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  try {
    const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
    std::vector<Candidate> candidates;
    for (const auto& [n, k] : kWeights) {
      for (const bool packed : {false, true}) {
        candidates.push_back({n, k, packed, Product(engine, type, n, k, packed)});
        candidates.back().product.Seconds();  // warms up
      }
    }
    const double end = core::MonotonicSeconds() + seconds;
    // Rounds over all, so that a busy moment of the machine does not strike one alone.
    for (int round = 0; round < 1 || core::MonotonicSeconds() < end; ++round) {
      for (Candidate& each : candidates) {
        each.seconds = std::min(each.seconds, each.product.Seconds());
      }
    }
    return Summarize(candidates);
  } catch (const dnnl::error& error) {
    GemmRates none;
    none.problem = std::string("oneDNN does not offer it here: ") + error.what();
    return none;
  }
}

}  // namespace moat::programs
