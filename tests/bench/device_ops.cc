// Each op runs on buffers of its own, timed by events around several runs; the median of rounds.
#include "tests/bench/device_ops.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "tensor/event.h"
#include "tensor/ops.h"
#include "tensor/product_tuner.h"

namespace moat::bench {
namespace {

using core::DType;
using tensor::Tensor;
using tensor::View;

constexpr DType kBF16 = DType::kBF16, kF32 = DType::kF32;

struct Sizes {
  const char* name;
  int64_t rows, seq_len, width, heads, kv_heads, ffn, vocab;
  bool llama;  // RMSNorm, rotary positions, SwiGLU; else LayerNorm and GELU
  int64_t parameters;
};

const Sizes kReal[] = {
    {"gpt2_124m", 16, 1024, 768, 12, 12, 3072, 50257, false, 124'439'808},
    {"llama_1b", 2, 4096, 2048, 32, 8, 8192, 128256, true, 1'235'814'400},
};
const Sizes kTiny[] = {
    {"tiny_gpt2", 2, 64, 64, 2, 2, 128, 131, false, 4096},
    {"tiny_llama", 1, 64, 64, 4, 2, 128, 131, true, 4096},
};
constexpr int64_t kLossRows = 2048;  // logits of so many slots at once

class DeviceOps {
 public:
  explicit DeviceOps(const DeviceOpsOptions& options)
      : options_(options), stream_(options.device, 0), start_(core::MonotonicSeconds()) {
    if (tensor::ProductTuner* const tuner = tensor::TunerOf(stream_)) tuner->Measure(true);
  }

  void Ceilings() {
    const int64_t bytes = options_.tiny ? 1 << 16 : 1 << 30;
    Tensor from(bytes, DType::kU8, options_.device), to(bytes, DType::kU8, options_.device);
    copy_ = 2.0 * static_cast<double>(bytes) /
            Seconds([&] { tensor::Copy(std::as_const(from).view(), to.view(), stream_); });
    for (const int64_t n : {int64_t{4096}, int64_t{8192}}) {
      const int64_t extent = options_.tiny ? 32 : n;
      Tensor a = Numbers(extent * extent, kBF16), b = Numbers(extent * extent, kBF16);
      Tensor c(extent * extent, kBF16, options_.device);
      const auto cube = static_cast<double>(extent * extent * extent);
      product_ = std::max(product_, 2 * cube / Seconds([&] {
                                      tensor::MatMul(false, true, extent, extent, extent, a.view(),
                                                     b.view(), {}, c.view(), false, stream_);
                                    }));
    }
    std::printf("Ceilings: copy %.0f GB/s (read and written), bf16 product %.1f TFLOP/s\n\n",
                copy_ / 1e9, product_ / 1e12);
    std::printf("| model | op | us | MB | GFLOP | GB/s | TFLOP/s | share of its ceiling |\n");
    std::printf("|---|---|---|---|---|---|---|---|\n");
  }

  void All(const Sizes& s) {
    size_ = &s;
    Products();
    Float8();
    Norms();
    Activations();
    Attention();
    LossAndEmbedding();
    Optimizer();
  }

 private:
  int64_t tokens() const { return size_->rows * size_->seq_len; }

  Tensor Numbers(int64_t count, DType dtype) {
    Tensor there(count, dtype, options_.device);
    std::vector<float> values(static_cast<size_t>(std::min(count, int64_t{1} << 20)));
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(i * 2654435761 % 1021) / 510.5f - 1.0f;
    }
    const std::vector<core::BFloat16> narrow(values.begin(), values.end());
    for (int64_t at = 0; at < count; at += std::ssize(values)) {
      const int64_t n = std::min(std::ssize(values), count - at);
      tensor::Copy(dtype == kF32 ? tensor::HostView(std::as_const(values).data(), n)
                                 : tensor::HostView(narrow.data(), n),
                   there.view().Range(at, n), stream_);
    }
    stream_.Synchronize();
    return there;
  }

  // Of one run: the median of five rounds of as many runs as make a millisecond.
  double Seconds(const std::function<void()>& run) {
    tensor::Event begin(options_.device), end(options_.device);
    const auto time = [&](int runs) {
      begin.Record(stream_);
      for (int i = 0; i < runs; ++i) run();
      end.Record(stream_);
      return end.SecondsSince(begin);
    };
    time(1);
    const int runs = static_cast<int>(std::clamp(1e-3 / std::max(1e-6, time(1)), 1.0, 100.0));
    std::vector<double> rounds;
    for (int i = 0; i < 5; ++i) rounds.push_back(time(runs) / runs);
    std::sort(rounds.begin(), rounds.end());
    return std::max(rounds[2], 1e-9);
  }

  void Add(const std::string& op, double bytes, double flops, const std::function<void()>& run) {
    if (op.find(options_.only) == std::string::npos) return;
    if (core::MonotonicSeconds() - start_ > options_.seconds) {
      std::printf("| %s | %s | not measured: the time for this part is over | | | | | |\n",
                  size_->name, op.c_str());
      return;
    }
    const double seconds = Seconds(run);
    const double gbytes = bytes / seconds / 1e9, tflops = flops / seconds / 1e12;
    const double share = std::max(gbytes * 1e9 / copy_, tflops * 1e12 / product_);
    std::printf("| %s | %s | %.1f | %.1f | %.2f | %.0f | %.1f | %.0f%% |\n", size_->name,
                op.c_str(), seconds * 1e6, bytes / 1e6, flops / 1e9, gbytes, tflops, share * 100);
    std::fflush(stdout);
    if (options_.json.empty()) return;
    const nlohmann::ordered_json line = {{"part", "ops"},
                                         {"model", size_->name},
                                         {"op", op},
                                         {"seconds", seconds},
                                         {"bytes", bytes},
                                         {"flops", flops},
                                         {"gbytes_per_s", gbytes},
                                         {"tflops", tflops},
                                         {"share", share},
                                         {"ceiling_gbytes_per_s", copy_ / 1e9},
                                         {"ceiling_tflops", product_ / 1e12}};
    std::ofstream(options_.json, std::ios::app) << line.dump() << "\n";
  }

  void Product(const char* what, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k,
               DType result) {
    Tensor a = Numbers(m * k, kBF16), b = Numbers(n * k, kBF16), c(m * n, result, options_.device);
    const auto bytes = static_cast<double>(a.bytes().value + b.bytes().value + c.bytes().value);
    Add(what + (" " + std::to_string(m)) + " x " + std::to_string(k) + " x " + std::to_string(n),
        bytes, 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k), [&] {
          tensor::MatMul(trans_a, trans_b, m, n, k, a.view(), b.view(), {}, c.view(), false,
                         stream_);
        });
  }

  void Products() {
    const Sizes& s = *size_;
    const int64_t head = s.width / s.heads, in = (s.llama ? 2 : 1) * s.ffn;
    const auto map = [&](int64_t slots, int64_t from, int64_t to, DType result) {
      Product("forward", false, true, slots, to, from, result);
      Product("input gradient", false, false, slots, from, to, kBF16);
      Product("weight gradient", true, false, to, from, slots, kF32);
    };
    map(tokens(), s.width, (s.heads + 2 * s.kv_heads) * head, kBF16);
    map(tokens(), s.width, s.width, kBF16);
    map(tokens(), s.width, in, kBF16);
    map(tokens(), s.ffn, s.width, kBF16);
    map(std::min(kLossRows, tokens()), s.width, s.vocab, kF32);
  }

  // Of the MLP's first layer, the widest: scales, codes and the three products, whose share is of
  // the bf16 ceiling.
  void Float8() {
    try {
      tensor::CheckFloat8(stream_);
    } catch (const core::ConfigError& error) {
      std::printf("| %s | fp8: not measured, %s | | | | | | |\n", size_->name, error.what());
      return;
    }
    const int64_t in = size_->width, out = (size_->llama ? 2 : 1) * size_->ffn;
    const int64_t slots = tokens(), n = slots * in;
    Tensor x = Numbers(n, kBF16), codes(n, DType::kE4M3, options_.device);
    Tensor transposed(n, DType::kE4M3, options_.device), scale(1, kF32, options_.device);
    const auto bytes = static_cast<double>(n);
    Add("fp8 scale", 2 * bytes, 0,
        [&] { tensor::ScaleFor(DType::kE4M3, x.view(), scale.view(), stream_); });
    Add("fp8 codes", 3 * bytes, 0,
        [&] { tensor::Quantize(slots, in, x.view(), scale.view(), codes.view(), {}, stream_); });
    Add("fp8 codes, both layouts", 4 * bytes, 0, [&] {
      tensor::Quantize(slots, in, x.view(), scale.view(), codes.view(), transposed.view(), stream_);
    });
    Float8Product("fp8 forward", DType::kE4M3, slots, out, in, kBF16);
    Float8Product("fp8 input gradient", DType::kE5M2, slots, in, out, kBF16);
    Float8Product("fp8 weight gradient", DType::kE5M2, out, in, slots, kF32);
  }

  void Float8Product(const std::string& what, DType left, int64_t m, int64_t n, int64_t k,
                     DType result) {
    const auto coded = [&](DType format, int64_t rows, View scale) {
      const Tensor x = Numbers(rows * k, kBF16);
      Tensor codes(rows * k, format, options_.device);
      tensor::ScaleFor(format, x.view(), scale, stream_);
      tensor::Quantize(rows, k, x.view(), scale, codes.view(), {}, stream_);
      stream_.Synchronize();
      return codes;
    };
    Tensor scales(2, kF32, options_.device), c(m * n, result, options_.device);
    const View a_scale = scales.view().Range(0, 1), b_scale = scales.view().Range(1, 1);
    const Tensor a = coded(left, m, a_scale), b = coded(DType::kE4M3, n, b_scale);
    const auto bytes = static_cast<double>(a.bytes().value + b.bytes().value + c.bytes().value);
    Add(what + " " + std::to_string(m) + " x " + std::to_string(k) + " x " + std::to_string(n),
        bytes, 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k), [&] {
          tensor::ScaledMatMul(m, n, k, {a.view(), a_scale}, {b.view(), b_scale}, {}, c.view(),
                               false, stream_);
        });
  }

  void Norms() {
    const int64_t n = tokens() * size_->width, width = size_->width;
    Tensor x = Numbers(n, kBF16), dy = Numbers(n, kBF16), y(n, kBF16, options_.device);
    Tensor w = Numbers(width, kBF16), b = Numbers(width, kBF16);
    Tensor mean(tokens(), kF32, options_.device), inverse = Numbers(tokens(), kF32);
    Tensor dw(width, kF32, options_.device), db(width, kF32, options_.device);
    const auto bytes = static_cast<double>(n) * 2;
    if (size_->llama) {
      Add("rms_norm", 2 * bytes, 0,
          [&] { tensor::RmsNorm(x.view(), w.view(), y.view(), inverse.view(), 1e-5, stream_); });
      Add("rms_norm_grad", 3 * bytes, 0, [&] {
        tensor::RmsNormGrad(x.view(), w.view(), inverse.view(), dy.view(), y.view(), dw.view(),
                            true, stream_);
      });
    } else {
      Add("layer_norm", 2 * bytes, 0, [&] {
        tensor::LayerNorm(x.view(), w.view(), b.view(), y.view(), mean.view(), inverse.view(), 1e-5,
                          stream_);
      });
      Add("layer_norm_grad", 3 * bytes, 0, [&] {
        tensor::LayerNormGrad(x.view(), w.view(), mean.view(), inverse.view(), dy.view(), y.view(),
                              dw.view(), db.view(), true, stream_);
      });
      Add("bias_grad", bytes, 0, [&] { tensor::BiasGrad(dy.view(), db.view(), true, stream_); });
    }
    Add("add", 3 * bytes, 0, [&] { tensor::Add(x.view(), y.view(), stream_); });
  }

  void Activations() {
    const int64_t n = tokens() * size_->ffn;
    Tensor in = Numbers((size_->llama ? 2 : 1) * n, kBF16), dy = Numbers(n, kBF16);
    Tensor y(n, kBF16, options_.device), din(in.count(), kBF16, options_.device);
    const auto bytes = static_cast<double>(n) * 2;
    if (size_->llama) {
      Add("swiglu", 3 * bytes, 0,
          [&] { tensor::SwiGlu(in.view(), y.view(), size_->ffn, stream_); });
      Add("swiglu_grad", 5 * bytes, 0,
          [&] { tensor::SwiGluGrad(in.view(), dy.view(), din.view(), size_->ffn, stream_); });
    } else {
      Add("gelu", 2 * bytes, 0, [&] { tensor::Gelu(in.view(), y.view(), stream_); });
      Add("gelu_grad", 3 * bytes, 0,
          [&] { tensor::GeluGrad(in.view(), dy.view(), din.view(), stream_); });
    }
  }

  // rows(whose) with attention by our own kernels and by cuDNN, whichever was chosen.
  void ByEach(const std::function<void(const std::string&)>& rows) {
    tensor::ProductTuner* const tuner = tensor::TunerOf(stream_);
    if (tuner == nullptr || tuner->library().find("cuDNN") == std::string::npos) return;
    const tensor::ProductChoices chosen = tuner->choices();
    tuner->Measure(false);
    for (const std::string whose : {"own", "cudnn"}) {
      tensor::ProductChoices forced{chosen.made_for, {}};
      for (const auto& [product, algorithm] : chosen.algorithms) {
        if (product.find("attention over") != std::string::npos) forced.algorithms[product] = whose;
      }
      tuner->Use(forced);
      try {
        rows(", " + whose);
      } catch (const core::ConfigError& error) {
        std::printf("| %s | attention, %s: %s | | | | | | |\n", size_->name, whose.c_str(),
                    error.what());
      }
    }
    tuner->Use(chosen);
    tuner->Measure(true);
  }

  void Attention() {
    const Sizes& s = *size_;
    const int64_t head = s.width / s.heads, wide = (s.heads + 2 * s.kv_heads) * head;
    const tensor::AttentionShape shape{s.rows, s.seq_len, s.heads, s.kv_heads, head, 64};
    Tensor qkv = Numbers(tokens() * wide, kBF16), dout = Numbers(tokens() * s.width, kBF16);
    Tensor out(dout.count(), kBF16, options_.device), dqkv(qkv.count(), kBF16, options_.device);
    Tensor log_sum(tokens() * s.heads, kF32, options_.device);
    Tensor spans(tokens(), DType::kI32, options_.device);
    Tensor work(core::AttentionWorkspace(shape, kBF16, options_.device, 1), kF32, options_.device);
    // Two products of [seq_len / 2, seq_len] a head forward, five backward.
    const double product = static_cast<double>(tokens() * s.seq_len) * static_cast<double>(s.width);
    const auto in = static_cast<double>(qkv.bytes().value),
               o = static_cast<double>(out.bytes().value);
    const auto add = [&](const std::string& whose) {
      Add("attention" + whose, in + o, 2 * product, [&] {
        tensor::Attention(shape, spans.view(), qkv.view(), out.view(), log_sum.view(), work.view(),
                          stream_);
      });
      Add("attention_grad" + whose, 2 * in + 2 * o, 5 * product, [&] {
        tensor::AttentionGrad(shape, spans.view(), qkv.view(), out.view(), log_sum.view(),
                              dout.view(), dqkv.view(), work.view(), stream_);
      });
    };
    add("");
    ByEach(add);
    if (!s.llama) return;
    Tensor positions(tokens(), DType::kI32, options_.device);
    Add("rotate", 2 * static_cast<double>(tokens() * (s.heads + s.kv_heads) * head * 2), 0, [&] {
      tensor::Rotate(qkv.view(), positions.view(), s.heads + s.kv_heads, head, wide, 500000, false,
                     stream_);
    });
  }

  void LossAndEmbedding() {
    const int64_t rows = std::min(kLossRows, tokens()), n = rows * size_->vocab;
    Tensor targets(rows, DType::kI32, options_.device), ids(tokens(), DType::kI32, options_.device);
    {
      Tensor logits = Numbers(n, kF32), weights = Numbers(rows, kF32);
      Tensor losses(rows, kF32, options_.device), dlogits(n, kBF16, options_.device);
      Add("cross_entropy", 6 * static_cast<double>(n), 0, [&] {
        tensor::CrossEntropy(logits.view(), targets.view(), weights.view(), losses.view(),
                             dlogits.view(), stream_);
      });
    }
    const auto bytes = static_cast<double>(tokens() * size_->width);
    Tensor table = Numbers(size_->vocab * size_->width, kBF16);
    Tensor x(tokens() * size_->width, kBF16, options_.device);
    Tensor dtable(table.count(), kF32, options_.device);
    std::vector<int32_t> some(static_cast<size_t>(tokens()));
    for (size_t i = 0; i < some.size(); ++i) {
      some[i] = static_cast<int32_t>(static_cast<int64_t>(i) * 7919 % size_->vocab);
    }
    tensor::Copy(tensor::HostView(std::as_const(some).data(), tokens()), ids.view(), stream_);
    stream_.Synchronize();
    Add("embed", 4 * bytes, 0, [&] {
      tensor::Embed(ids.view(), table.view(), 0, x.view(), size_->width, false, stream_);
    });
    Add("embed_grad", 10 * bytes, 0,
        [&] { tensor::EmbedGrad(ids.view(), x.view(), dtable.view(), 0, size_->width, stream_); });
  }

  void Optimizer() {
    const int64_t n = size_->parameters;
    Tensor g(n, kF32, options_.device), m(n, kF32, options_.device), v(n, kF32, options_.device),
        w(n, kF32, options_.device), rounded(n, kBF16, options_.device);
    const tensor::AdamWStep step{1e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.1f, 0.05f, 1.0f};
    Add("adamw", 30 * static_cast<double>(n), 0, [&] {
      tensor::AdamW(step, g.view(), m.view(), v.view(), w.view(), rounded.view(), stream_);
    });
    Tensor sums((n + 4095) / 4096, DType::kF64, options_.device);
    Add("sums_of_squares", 4 * static_cast<double>(n), 0,
        [&] { tensor::SumsOfSquares(g.view(), 4096, 0, sums.view(), stream_); });
  }

  DeviceOpsOptions options_;
  tensor::Stream stream_;
  double start_, copy_ = 0, product_ = 0;
  const Sizes* size_ = nullptr;
};

}  // namespace

void BenchDeviceOps(const DeviceOpsOptions& options) {
  DeviceOps ops(options);
  ops.Ceilings();
  for (const Sizes& sizes : options.tiny ? kTiny : kReal) ops.All(sizes);
}

}  // namespace moat::bench
