// Products described to oneDNN in several ways, and the best time of each.
#include "tests/bench/gemm_ceiling.h"

#include <omp.h>

#include <algorithm>
#include <dnnl.hpp>
#include <limits>
#include <unordered_map>

namespace moat::bench {
namespace {

using dnnl::memory;

const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::matmul::primitive_desc Describe(const memory::desc& a, const memory::desc& b,
                                      const memory::desc& c) {
#if DNNL_VERSION_MAJOR >= 3
  return {Engine(), a, b, c};
#else
  return {dnnl::matmul::desc(a, b, c), Engine()};
#endif
}

// c [m, n] = a [m, k] b [k, n], where an operand may be stored transposed.
struct Shape {
  int64_t m, n, k;
  bool trans_a, trans_b;
};

Shape ShapeOf(const LinearProduct& p) {
  switch (p.pass) {
    case Pass::kForward:
      return {p.tokens, p.out, p.in, false, true};
    case Pass::kDataGradient:
      return {p.tokens, p.in, p.out, false, false};
    case Pass::kWeightGradient:
      return {p.out, p.in, p.tokens, true, false};
  }
  return {};
}

// Ones in either type, so that nothing is subnormal in whatever layout it is read.
std::unique_ptr<char[]> Ones(size_t bytes) {
  auto memory = std::make_unique_for_overwrite<char[]>(bytes);
  for (size_t i = 0; i + 1 < bytes; i += 2) {
    memory[i] = static_cast<char>(0x80);
    memory[i + 1] = 0x3f;
  }
  return memory;
}

}  // namespace

std::string LinearProduct::Describe() const {
  const char* name = pass == Pass::kForward        ? "forward"
                     : pass == Pass::kDataGradient ? "data gradient"
                                                   : "weight gradient";
  return std::string(name) + " " + std::to_string(tokens) + " x " + std::to_string(in) + " -> " +
         std::to_string(out);
}

struct GemmCeiling::Way {
  std::string name;
  dnnl::matmul primitive;
  std::unordered_map<int, memory> arguments;
};

GemmCeiling::GemmCeiling(const LinearProduct& product, int threads)
    : threads_(threads), best_(std::numeric_limits<double>::infinity()) {
  omp_set_num_threads(threads);
  using Tag = memory::format_tag;
  const Shape s = ShapeOf(product);
  const auto type =
      product.dtype == core::DType::kF32 ? memory::data_type::f32 : memory::data_type::bf16;
  const auto result = product.f32_result ? memory::data_type::f32 : type;
  size_t bytes[3] = {};
  for (const auto& [name, any_a, any_b, any_c] :
       {std::tuple{"plain", false, false, false}, std::tuple{"any weights", false, true, false},
        std::tuple{"any operands", true, true, false}, std::tuple{"any", true, true, true}}) {
    auto way = std::make_unique<Way>();
    way->name = name;
    const memory::desc a({s.m, s.k}, type, any_a ? Tag::any : s.trans_a ? Tag::ba : Tag::ab);
    const memory::desc b({s.k, s.n}, type, any_b ? Tag::any : s.trans_b ? Tag::ba : Tag::ab);
    const memory::desc c({s.m, s.n}, result, any_c ? Tag::any : Tag::ab);
    const auto description = Describe(a, b, c);
    way->primitive = dnnl::matmul(description);
    const std::pair<int, memory::desc> places[] = {{DNNL_ARG_SRC, description.src_desc()},
                                                   {DNNL_ARG_WEIGHTS, description.weights_desc()},
                                                   {DNNL_ARG_DST, description.dst_desc()}};
    for (size_t i = 0; i < 3; ++i) {
      bytes[i] = std::max(bytes[i], places[i].second.get_size());
      way->arguments.emplace(places[i].first, memory(places[i].second, Engine(), nullptr));
    }
    ways_.push_back(std::move(way));
  }
  for (size_t i = 0; i < 3; ++i) memory_.push_back(Ones(bytes[i] + 64));
  for (auto& way : ways_) {
    const int places[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    for (size_t i = 0; i < 3; ++i) {
      char* start = memory_[i].get() + 63;
      way->arguments.at(places[i]).set_data_handle(start - reinterpret_cast<uintptr_t>(start) % 64);
    }
  }
}

GemmCeiling::~GemmCeiling() = default;
GemmCeiling::GemmCeiling(GemmCeiling&&) noexcept = default;

void GemmCeiling::Round(double (*clock)()) {
  omp_set_num_threads(threads_);
  dnnl::stream stream(Engine());
  for (auto& way : ways_) {
    const double start = clock();
    way->primitive.execute(stream, way->arguments);
    stream.wait();
    const double seconds = clock() - start;
    if (seconds < best_) {
      best_ = seconds;
      best_way_ = way->name;
    }
  }
}

double BestRateOfStep(const std::vector<LinearProduct>& products, int threads, int rounds,
                      double (*clock)()) {
  double flops = 0, seconds = 0;
  for (const LinearProduct& product : products) {
    GemmCeiling ceiling(product, threads);
    for (int round = 0; round <= rounds; ++round) ceiling.Round(clock);
    flops += product.times_per_step * product.flops();
    seconds += product.times_per_step * ceiling.best_seconds();
  }
  return flops / seconds;
}

}  // namespace moat::bench
