// Rates of the CPU's ops at the sizes of GPT-2 124M: 4 sequences of 256 tokens.
//
//   build/bin/bench_ops [--json] [--threads=N] [--rounds=N] [--only=TEXT] [--clock=cpu]
//   build/bin/bench_ops --device=cuda [--seconds=S] [--json_file=PATH]  (tests/bench/device_ops.h)
//
// A product is compared with oneDNN's best rate for it, the rest with the rate of memory, all
// measured in turns in one run. Ops on rows run over twelve layers' worth at once, so that nothing
// waits in a cache and milliseconds are those of a step. --clock=cpu counts the time of the one
// thread instead of the wall's, for a machine that is busy.
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "tensor/ops.h"
#include "tests/bench/device_ops.h"
#include "tests/bench/gemm_ceiling.h"
#include "tests/bench/memory_ceiling.h"

namespace moat::bench {
namespace {

using core::DType;
using tensor::Tensor;

constexpr int64_t kLayers = 12, kRows = 4, kSeqLen = 256, kWidth = 768, kHeads = 12;
constexpr int64_t kTokens = kRows * kSeqLen, kVocab = 50257, kLossRows = 256;
constexpr int64_t kLossBlocks = kTokens / kLossRows;

struct Options {
  bool json = false, cpu_clock = false;
  int threads = 2, rounds = 5;
  std::string only;
};

struct Case {
  std::string name;
  DType dtype;
  double times_per_step;
  double flops, bytes;  // of one run; one of them is 0
  std::function<void()> run;
  std::optional<GemmCeiling> ceiling;  // products
  double best = std::numeric_limits<double>::infinity();
  std::vector<double> seconds = {};
};

double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Numbers of the size of activations.
Tensor Numbers(int64_t count, DType dtype, float scale = 1) {
  Tensor out(count, dtype);
  for (int64_t i = 0; i < count; ++i) {
    const float value = scale * (static_cast<float>(i * 2654435761 % 1021) / 510.5f - 1.0f);
    if (dtype == DType::kF32) {
      out.view().as<float>()[i] = value;
    } else {
      out.view().as<core::BFloat16>()[i] = core::BFloat16(value);
    }
  }
  return out;
}

class Bench {
 public:
  explicit Bench(const Options& options)
      : options_(options), stream_(options.threads), memory_(options.threads) {}

  void Products(DType dtype) {
    const struct {
      int64_t in, out;
    } maps[] = {{kWidth, 3 * kWidth}, {kWidth, kWidth}, {kWidth, 4 * kWidth}, {4 * kWidth, kWidth}};
    for (const auto& map : maps) {
      for (const Pass pass : {Pass::kForward, Pass::kDataGradient, Pass::kWeightGradient}) {
        AddProduct({pass, kTokens, map.in, map.out, dtype, pass == Pass::kWeightGradient, kLayers});
      }
    }
    for (const Pass pass : {Pass::kForward, Pass::kDataGradient, Pass::kWeightGradient}) {
      AddProduct({pass, kLossRows, kWidth, kVocab, dtype, pass != Pass::kDataGradient,
                  static_cast<double>(kLossBlocks)});
    }
  }

  void RowOps(DType dtype) {
    Norms(dtype);
    Activations(dtype);
    Attention(dtype);
    LossAndEmbedding(dtype);
    Optimizer(dtype);
  }

  void Report() const {
    nlohmann::json all = nlohmann::json::array();
    double flops = 0, ours = 0, ceilings = 0;
    for (const Case& c : results_) {
      std::vector<double> sorted = c.seconds;
      std::sort(sorted.begin(), sorted.end());
      const double median = sorted[sorted.size() / 2];
      const double rate = (c.ceiling ? c.flops : c.bytes) / c.best / 1e9;
      const double ceiling =
          c.ceiling ? c.flops / c.ceiling->best_seconds() / 1e9 : memory_.bytes_per_second() / 1e9;
      if (c.ceiling && c.dtype == DType::kBF16) {
        flops += c.times_per_step * c.flops;
        ours += c.times_per_step * c.best;
        ceilings += c.times_per_step * c.ceiling->best_seconds();
      }
      all.push_back({{"op", c.name},
                     {"dtype", Name(c.dtype)},
                     {"best_ms", c.best * 1e3},
                     {"median_ms", median * 1e3},
                     {"ms_per_step", c.best * c.times_per_step * 1e3},
                     {c.ceiling ? "gflops" : "gbytes_per_s", rate},
                     {"ceiling", ceiling},
                     {"share", rate / ceiling}});
      if (options_.json) continue;
      std::printf(
          "%-44s %-4s %9.3f ms, median %9.3f, %8.2f a step; %6.1f %s, %5.1f%% of %.1f%s%s\n",
          c.name.c_str(), Name(c.dtype), c.best * 1e3, median * 1e3,
          c.best * c.times_per_step * 1e3, rate, c.ceiling ? "GFLOP/s" : "GB/s",
          100 * rate / ceiling, ceiling, c.ceiling ? " by " : "",
          c.ceiling ? c.ceiling->best_way().c_str() : "");
    }
    if (options_.json) {
      std::printf("%s\n", all.dump(2).c_str());
    } else if (ours > 0) {
      std::printf("bf16 products of a step: %.1f GFLOP/s, %.1f%% of oneDNN's best %.1f\n",
                  flops / ours / 1e9, 100 * ceilings / ours, flops / ceilings / 1e9);
    }
  }

 private:
  bool Wanted(const std::string& name, DType dtype) const {
    return (name + " " + Name(dtype)).find(options_.only) != std::string::npos;
  }

  void Measure(Case c) {
    if (!Wanted(c.name, c.dtype)) return;
    double (*const clock)() = options_.cpu_clock ? ThreadSeconds : core::MonotonicSeconds;
    c.run();  // pages, primitives
    if (c.ceiling) c.ceiling->Round(clock);
    for (int round = 0; round < options_.rounds; ++round) {
      const double start = clock();
      c.run();
      c.seconds.push_back(clock() - start);
      c.best = std::min(c.best, c.seconds.back());
      if (c.ceiling) c.ceiling->Round(clock);
      if (!c.ceiling && round % 4 == 0) memory_.Round(clock);
    }
    c.run = nullptr;  // its memory is free again once the caller returns
    results_.push_back(std::move(c));
  }

  void AddProduct(const LinearProduct& p) {
    if (!Wanted(p.Describe(), p.dtype)) return;
    Tensor x = Numbers(p.tokens * p.in, p.dtype), w = Numbers(p.out * p.in, p.dtype),
           dy = Numbers(p.tokens * p.out, p.dtype);
    const int64_t m = p.pass == Pass::kWeightGradient ? p.out : p.tokens;
    const int64_t n = p.pass == Pass::kForward ? p.out : p.in;
    const int64_t k = p.pass == Pass::kForward        ? p.in
                      : p.pass == Pass::kDataGradient ? p.out
                                                      : p.tokens;
    Tensor c(m * n, p.f32_result ? DType::kF32 : p.dtype);
    const tensor::View a = p.pass == Pass::kForward ? x.view() : dy.view();
    const tensor::View b = p.pass == Pass::kWeightGradient ? x.view() : w.view();
    Measure({p.Describe(), p.dtype, p.times_per_step, p.flops(), 0,
             [&] {
               tensor::MatMul(p.pass == Pass::kWeightGradient, p.pass == Pass::kForward, m, n, k, a,
                              b, {}, c.view(), false, stream_);
             },
             GemmCeiling(p, options_.threads)});
  }

  // An op over `bytes` of memory, read or written.
  void AddRows(const std::string& name, DType dtype, int64_t bytes, std::function<void()> run,
               double times_per_step = 1) {
    Measure({name, dtype, times_per_step, 0, static_cast<double>(bytes), std::move(run), {}});
  }

  void Norms(DType dtype) {
    const int64_t n = kLayers * kTokens * kWidth, size = core::SizeOf(dtype);
    Tensor x = Numbers(n, dtype), dy = Numbers(n, dtype), y(n, dtype);
    Tensor w = Numbers(kWidth, dtype), b = Numbers(kWidth, dtype);
    Tensor mean(n / kWidth, DType::kF32), inverse(n / kWidth, DType::kF32);
    Tensor dw(kWidth, DType::kF32), db(kWidth, DType::kF32);
    AddRows(
        "layer_norm, twice a layer", dtype, 2 * n * size,
        [&] {
          tensor::LayerNorm(x.view(), w.view(), b.view(), y.view(), mean.view(), inverse.view(),
                            1e-5, stream_);
        },
        2);
    AddRows(
        "layer_norm_grad, twice a layer", dtype, 3 * n * size,
        [&] {
          tensor::LayerNormGrad(x.view(), w.view(), mean.view(), inverse.view(), dy.view(),
                                y.view(), dw.view(), db.view(), false, stream_);
        },
        2);
    AddRows("rms_norm", dtype, 2 * n * size,
            [&] { tensor::RmsNorm(x.view(), w.view(), y.view(), inverse.view(), 1e-5, stream_); });
    AddRows("rms_norm_grad", dtype, 3 * n * size, [&] {
      tensor::RmsNormGrad(x.view(), w.view(), inverse.view(), dy.view(), y.view(), dw.view(), false,
                          stream_);
    });
    AddRows(
        "bias_grad, twice a layer", dtype, n * size,
        [&] { tensor::BiasGrad(dy.view(), db.view(), false, stream_); }, 2);
    AddRows(
        "add_dropout at rate 0, twice a layer", dtype, 3 * n * size,
        [&] {
          tensor::AddDropout(x.view(), dy.view(), y.view(), kWidth, {1, nullptr, kSeqLen, 0},
                             stream_);
        },
        2);
    std::vector<uint64_t> samples(static_cast<size_t>(kLayers * kRows), 7);
    AddRows("add_dropout at rate 0.1", dtype, 3 * n * size, [&] {
      tensor::AddDropout(x.view(), dy.view(), y.view(), kWidth, {1, samples.data(), kSeqLen, 0.1f},
                         stream_);
    });
  }

  void Activations(DType dtype) {
    const int64_t n = kLayers * kTokens * 4 * kWidth, size = core::SizeOf(dtype);
    Tensor x = Numbers(n, dtype, 3), dy = Numbers(n, dtype), y(n, dtype);
    AddRows("gelu", dtype, 2 * n * size, [&] { tensor::Gelu(x.view(), y.view(), stream_); });
    AddRows("gelu_grad", dtype, 3 * n * size,
            [&] { tensor::GeluGrad(x.view(), dy.view(), y.view(), stream_); });
    const int64_t half = n / 2;
    AddRows("swiglu", dtype, 3 * half * size,
            [&] { tensor::SwiGlu(x.view(), y.view().Range(0, half), 4 * kWidth, stream_); });
    AddRows("swiglu_grad", dtype, 5 * half * size, [&] {
      tensor::SwiGluGrad(x.view(), dy.view().Range(0, half), y.view(), 4 * kWidth, stream_);
    });
  }

  void Attention(DType dtype) {
    const int64_t size = core::SizeOf(dtype), width = 3 * kWidth;
    for (const int64_t seq_len : {kSeqLen, 4 * kSeqLen}) {
      const tensor::AttentionShape shape{
          kLayers * kTokens / seq_len, seq_len, kHeads, kHeads, kWidth / kHeads, 64};
      const int64_t tokens = kLayers * kTokens;
      Tensor qkv = Numbers(tokens * width, dtype), out(tokens * kWidth, dtype);
      Tensor dout = Numbers(tokens * kWidth, dtype), dqkv(tokens * width, dtype);
      Tensor log_sum(tokens * kHeads, DType::kF32), spans(tokens, DType::kI32);
      Tensor work(core::AttentionWorkspace(shape, dtype, core::DeviceKind::kCpu, options_.threads),
                  DType::kF32);
      const std::string at = " at " + std::to_string(seq_len) + " slots";
      AddRows("attention" + at, dtype, tokens * 4 * kWidth * size, [&] {
        tensor::Attention(shape, spans.view(), qkv.view(), out.view(), log_sum.view(), work.view(),
                          stream_);
      });
      AddRows("attention_grad" + at, dtype, tokens * 8 * kWidth * size, [&] {
        tensor::AttentionGrad(shape, spans.view(), qkv.view(), out.view(), log_sum.view(),
                              dout.view(), dqkv.view(), work.view(), stream_);
      });
    }
  }

  void LossAndEmbedding(DType dtype) {
    const int64_t n = kLossRows * kVocab, size = core::SizeOf(dtype);
    Tensor logits = Numbers(n, DType::kF32, 5), dlogits(n, dtype);
    Tensor targets(kLossRows, DType::kI32), weights = Numbers(kLossRows, DType::kF32),
                                            losses(kLossRows, DType::kF32);
    AddRows(
        "cross_entropy with gradient", dtype, n * (4 + size),
        [&] {
          tensor::CrossEntropy(logits.view(), targets.view(), weights.view(), losses.view(),
                               dlogits.view(), stream_);
        },
        static_cast<double>(kLossBlocks));
    Tensor ids(kTokens, DType::kI32), table = Numbers(kVocab * kWidth, dtype),
                                      rows = Numbers(kTokens * kWidth, dtype),
                                      dtable(kVocab * kWidth, DType::kF32);
    for (int64_t i = 0; i < kTokens; ++i) {
      ids.view().as<int32_t>()[i] = static_cast<int32_t>(i * 7919 % kVocab);
    }
    AddRows("embed", dtype, 2 * kTokens * kWidth * size, [&] {
      tensor::Embed(ids.view(), table.view(), 0, rows.view(), kWidth, false, stream_);
    });
    AddRows("embed_grad", dtype, kTokens * kWidth * (size + 8),
            [&] { tensor::EmbedGrad(ids.view(), rows.view(), dtable.view(), 0, kWidth, stream_); });
  }

  void Optimizer(DType dtype) {
    const int64_t n = 124'439'808;
    if (!Wanted("adamw sums_of_squares", dtype)) return;
    Tensor g = Numbers(n, DType::kF32), m = Numbers(n, DType::kF32, 0.1f), v(n, DType::kF32),
           w = Numbers(n, DType::kF32), rounded(dtype == DType::kBF16 ? n : 0, DType::kBF16);
    const tensor::AdamWStep step{1e-4f, 0.9f, 0.95f, 1e-8f, 0.1f, 0.1f, 0.05f, 1.0f};
    AddRows("adamw", dtype, n * 28 + rounded.bytes().value, [&] {
      tensor::AdamW(step, g.view(), m.view(), v.view(), w.view(), rounded.view(), stream_);
    });
    std::vector<double> sums(static_cast<size_t>((n + 4095) / 4096));
    AddRows("sums_of_squares", dtype, n * 4, [&] {
      tensor::SumsOfSquares(g.view(), 4096, 0,
                            tensor::HostView(sums.data(), static_cast<int64_t>(sums.size())),
                            stream_);
    });
  }

  Options options_;
  tensor::Stream stream_;
  MemoryCeiling memory_;
  std::vector<Case> results_;
};

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const std::string value = flag.substr(std::min(flag.size(), flag.find('=') + 1));
    if (flag == "--json") {
      options.json = true;
    } else if (flag == "--clock=cpu") {
      options.cpu_clock = true;
    } else if (flag.starts_with("--threads=")) {
      options.threads = std::stoi(value);
    } else if (flag.starts_with("--rounds=")) {
      options.rounds = std::stoi(value);
    } else if (flag.starts_with("--only=")) {
      options.only = value;
    } else {
      throw core::ConfigError("unknown " + flag +
                              ": bench_ops [--json] [--threads=N] [--rounds=N] [--only=TEXT] "
                              "[--clock=cpu]");
    }
  }
  if (options.cpu_clock) options.threads = 1;
  return options;
}

// The ops of a device have options of their own.
DeviceOpsOptions ParseDevice(int argc, char** argv) {
  DeviceOpsOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const std::string value = flag.substr(std::min(flag.size(), flag.find('=') + 1));
    if (flag == "--device=cuda" || flag == "--device=cpu") {
      options.device = value == "cpu" ? core::DeviceKind::kCpu : core::DeviceKind::kCuda;
    } else if (flag == "--tiny") {
      options.tiny = true;
    } else if (flag.starts_with("--seconds=")) {
      options.seconds = std::stod(value);
    } else if (flag.starts_with("--json_file=")) {
      options.json = value;
    } else if (flag.starts_with("--only=")) {
      options.only = value;
    } else {
      throw core::ConfigError("unknown " + flag +
                              ": bench_ops --device=cuda|cpu [--tiny] [--seconds=S] "
                              "[--json_file=PATH] [--only=TEXT]");
    }
  }
  return options;
}

int Main(int argc, char** argv) {
  if (argc > 1 && std::string(argv[1]).starts_with("--device=")) {
    BenchDeviceOps(ParseDevice(argc, argv));
    return 0;
  }
  Bench bench(Parse(argc, argv));
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    bench.Products(dtype);
    bench.RowOps(dtype);
  }
  bench.Report();
  return 0;
}

}  // namespace
}  // namespace moat::bench

int main(int argc, char** argv) {
  return moat::core::RunMain([&] { return moat::bench::Main(argc, argv); });
}
