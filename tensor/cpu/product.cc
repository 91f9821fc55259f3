// Products by oneDNN: primitives by shape, a cache per thread, so nothing is shared or locked.
#include "tensor/cpu/product.h"

#include <algorithm>
#include <dnnl.hpp>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/error.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"
#include "tensor/cpu_features.h"

namespace moat::tensor::cpu {
namespace {

using dnnl::memory;

struct Hash {
  size_t operator()(const ProductShape& s) const {
    uint64_t h = static_cast<uint64_t>(s.c_is_f32 | s.accumulate << 1 | s.has_bias << 2);
    for (const int64_t x : {s.m, s.n, s.k, s.a_row, s.a_column, s.b_row, s.b_column, s.c_row}) {
      h = (h ^ static_cast<uint64_t>(x)) * 0x9e3779b97f4a7c15u;
      h ^= h >> 29;
    }
    return h;
  }
};

const dnnl::engine& Engine() {
  static const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  return engine;
}

dnnl::matmul::primitive_desc Describe(const ProductShape& s, const memory::desc& a,
                                      const memory::desc& b, const memory::desc& bias,
                                      const memory::desc& c) {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (s.accumulate) {
    dnnl::post_ops after;
    after.append_sum(1.0f);
    attributes.set_post_ops(after);
  }
#if DNNL_VERSION_MAJOR >= 3
  if (s.has_bias) return {Engine(), a, b, bias, c, attributes};
  return {Engine(), a, b, c, attributes};
#else
  const dnnl::matmul::desc operation =
      s.has_bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c);
  return {operation, attributes, Engine()};
#endif
}

// A primitive with its arguments, whose addresses each call sets.
class Primitive {
 public:
  explicit Primitive(const ProductShape& s) {
    const OneThread planned_for;  // oneDNN plans for the threads it sees now
    const auto t = memory::data_type::bf16;
    const memory::desc a({s.m, s.k}, t, memory::dims{s.a_row, s.a_column});
    const memory::desc b({s.k, s.n}, t, memory::dims{s.b_row, s.b_column});
    const memory::desc bias({1, s.n}, t, memory::dims{s.n, 1});
    const memory::desc c({s.m, s.n}, s.c_is_f32 ? memory::data_type::f32 : t,
                         memory::dims{s.c_row, 1});
    const auto description = Describe(s, a, b, bias, c);
    primitive_ = dnnl::matmul(description);
    scratch_bytes_ = description.scratchpad_desc().get_size();
    Bind(DNNL_ARG_SRC, a);
    Bind(DNNL_ARG_WEIGHTS, b);
    Bind(DNNL_ARG_DST, c);
    Bind(DNNL_ARG_SCRATCHPAD, description.scratchpad_desc());
    if (s.has_bias) Bind(DNNL_ARG_BIAS, bias);
  }

  void Run(const void* a, const void* b, const void* bias, void* c, void* scratch,
           dnnl::stream& stream) {
    Set(DNNL_ARG_SRC, const_cast<void*>(a));
    Set(DNNL_ARG_WEIGHTS, const_cast<void*>(b));
    Set(DNNL_ARG_DST, c);
    Set(DNNL_ARG_SCRATCHPAD, scratch);
    if (bias) Set(DNNL_ARG_BIAS, const_cast<void*>(bias));
    primitive_.execute(stream, arguments_);
  }

  size_t scratch_bytes() const { return scratch_bytes_; }

 private:
  void Bind(int argument, const memory::desc& description) {
    arguments_.emplace(argument, memory(description, Engine(), nullptr));
  }
  void Set(int argument, void* data) { arguments_.at(argument).set_data_handle(data); }

  dnnl::matmul primitive_;
  std::unordered_map<int, memory> arguments_;
  size_t scratch_bytes_ = 0;
};

// What one thread keeps from call to call.
struct PerThread {
  std::unordered_map<ProductShape, std::unique_ptr<Primitive>, Hash> primitives;
  std::vector<char> scratch;
  dnnl::stream stream{Engine()};
};

void BFloat16Product(const ProductShape& shape, const void* a, const void* b, const void* bias,
                     void* c) {
  thread_local PerThread own;
  std::unique_ptr<Primitive>& primitive = own.primitives[shape];
  if (!primitive) primitive = std::make_unique<Primitive>(shape);
  if (own.scratch.size() < primitive->scratch_bytes() + 64) {
    own.scratch.resize(primitive->scratch_bytes() + 64);
  }
  char* aligned = own.scratch.data() + 63;
  aligned -= reinterpret_cast<uintptr_t>(aligned) % 64;
  primitive->Run(a, b, bias, c, aligned, own.stream);
}

MOAT_ROW_KERNEL void AddRow(const float* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

void FloatProduct(const ProductShape& s, const float* a, const float* b, const float* bias,
                  float* c) {
  const bool trans_a = s.a_column != 1, trans_b = s.b_column != 1;
  const int64_t lda = trans_a ? std::max(s.a_column, s.m) : std::max(s.a_row, s.k);
  const int64_t ldb = trans_b ? std::max(s.b_column, s.k) : std::max(s.b_row, s.n);
  dnnl_sgemm(trans_a ? 'T' : 'N', trans_b ? 'T' : 'N', s.m, s.n, s.k, 1.0f, a, lda, b, ldb,
             s.accumulate ? 1.0f : 0.0f, c, s.c_row);
  for (int64_t i = 0; bias && i < s.m; ++i) AddRow(bias, c + i * s.c_row, s.n);
}

template <typename From, typename To>
MOAT_ROW_KERNEL void ConvertRow(const From* x, int64_t step, To* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) OneAt{i}.Store(y, OneAt{i * step}(x));
}

// A [rows, columns] copy without gaps.
void Widen(const core::BFloat16* x, int64_t row, int64_t column, int64_t rows, int64_t columns,
           std::vector<float>& y) {
  y.resize(static_cast<size_t>(rows * columns));
  for (int64_t i = 0; i < rows; ++i) {
    ConvertRow(x + i * row, column, y.data() + i * columns, columns);
  }
}

}  // namespace

void WidenedProduct(const ProductShape& s, const core::BFloat16* a, const core::BFloat16* b,
                    const core::BFloat16* bias, void* c_void) {
  thread_local std::vector<float> wide_a, wide_b, wide_bias, wide_c;
  Widen(a, s.a_row, s.a_column, s.m, s.k, wide_a);
  Widen(b, s.b_row, s.b_column, s.k, s.n, wide_b);
  if (s.has_bias) Widen(bias, s.n, 1, 1, s.n, wide_bias);
  const ProductShape wide{s.m,  s.n,          s.k,       s.k, 1, s.n, 1, s.c_is_f32 ? s.c_row : s.n,
                          true, s.accumulate, s.has_bias};
  const float* bias_or_null = s.has_bias ? wide_bias.data() : nullptr;
  if (s.c_is_f32) {
    FloatProduct(wide, wide_a.data(), wide_b.data(), bias_or_null, static_cast<float*>(c_void));
    return;
  }
  auto* c = static_cast<core::BFloat16*>(c_void);
  Widen(c, s.c_row, 1, s.m, s.n, wide_c);  // what it holds matters where sums go on
  FloatProduct(wide, wide_a.data(), wide_b.data(), bias_or_null, wide_c.data());
  for (int64_t i = 0; i < s.m; ++i) ConvertRow(wide_c.data() + i * s.n, 1, c + i * s.c_row, s.n);
}

template <>
void Product<float>(const ProductShape& shape, const float* a, const float* b, const float* bias,
                    void* c) {
  FloatProduct(shape, a, b, bias, static_cast<float*>(c));
}

template <>
void Product<core::BFloat16>(const ProductShape& shape, const core::BFloat16* a,
                             const core::BFloat16* b, const core::BFloat16* bias, void* c) {
  static const bool native = MissingInstructions(core::DType::kBF16).empty();
  if (native) {
    BFloat16Product(shape, a, b, bias, c);
  } else {
    WidenedProduct(shape, a, b, bias, c);
  }
}

}  // namespace moat::tensor::cpu
