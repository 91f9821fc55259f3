// A whole training step against the best rate of its own matrix products, measured in the same run.
//
//   build/bin/bench_train [--json] [--preset=gpt2_124m] [--dtype=bf16] [--threads=N]
//                         [--sequences=4] [--seq_len=256] [--steps=12] [--reduction=canonical]
//                         [--micro_batch=N] [--vocab_size=50257] [--matmul_dtype=fp8]
//   mpirun -np 2 --bind-to none build/bin/bench_train --threads=1
//   build/bin/bench_train --device=cuda --sequences=16 --seq_len=1024 [--peak_tflops=989]
//                         [--json_file=PATH] [--configs=DIR]
//
// A step: --sequences sequences over all ranks, one micro-batch a rank unless --micro_batch says
// otherwise, forward, backward, the
// gradients' sum, clipping and AdamW, on random tokens. Work is counted as 6N + 6LCT FLOP a token
// (model/architecture); nothing that is computed twice counts twice. The ceiling comes from
// tests/bench/gemm_ceiling.h, which shares no code with the trainer. The run fails with 1 when that
// ceiling lies below 90% of what moat-probe finds: then the machine was busy, and the figure is not
// worth having.
//
// --device=cuda: a device for each rank, over NCCL, or shared, over staging buffers. The ceiling is
// the best product of the device's library in the same run, and --peak_tflops what its maker says,
// by which MFU is counted; both are of bf16, with --matmul_dtype=fp8 too. It prints one row of a
// table in Markdown: model, ranks, sequences, slots, ms a step (median), tokens/s, TFLOP/s a rank,
// MFU, share of the measured product.
#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "comm/mpi.h"
#include "comm/nccl.h"
#include "comm/self.h"
#include "comm/staged.h"
#include "configs/command_line.h"
#include "core/clock.h"
#include "core/rng.h"
#include "model/product_agreement.h"
#include "tensor/event.h"
#include "tensor/ops.h"
#include "tests/bench/gemm_ceiling.h"
#include "tests/bench/probe.h"
#include "trainer/training_step.h"

namespace moat {
namespace {

using Options = std::map<std::string, std::string>;

Options ParseOptions(int argc, char** argv) {
  Options options = {
      {"preset", "gpt2_124m"}, {"dtype", "bf16"},   {"matmul_dtype", "same"},
      {"threads", "0"},        {"sequences", "4"},  {"seq_len", "256"},
      {"steps", "12"},         {"json", "false"},   {"reduction", "canonical"},
      {"vocab_size", "50257"}, {"micro_batch", ""}, {"device", "cpu"},
      {"peak_tflops", "989"},  {"json_file", ""},   {"configs", MOAT_SOURCE_DIR "/configs"}};
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    const size_t equals = text.find('=');
    const std::string name = text.substr(2, equals == std::string::npos ? equals : equals - 2);
    if (text.rfind("--", 0) != 0 || !options.count(name)) {
      throw core::ConfigError("unknown option " + text + "; see tests/bench/train_bench.cc");
    }
    options[name] = equals == std::string::npos ? "true" : text.substr(equals + 1);
  }
  return options;
}

configs::TrainConfig ConfigFor(const Options& options, int ranks) {
  const int64_t sequences = std::stoll(options.at("sequences"));
  if (sequences % ranks != 0) {
    throw core::ConfigError("--sequences=" + options.at("sequences") + " / " +
                            std::to_string(ranks) + " ranks is not whole");
  }
  return configs::TrainConfigFromFlags(configs::CommandLine::Parse(
      "train",
      {"--flagfile=" + options.at("configs") + "/" + options.at("preset") + ".flags", "--data=none",
       "--run=bench", "--dp=" + std::to_string(ranks), "--dtype=" + options.at("dtype"),
       "--matmul_dtype=" + options.at("matmul_dtype"), "--seq_len=" + options.at("seq_len"),
       "--vocab_size=" + options.at("vocab_size"), "--global_batch=" + options.at("sequences"),
       "--micro_batch=" + (options.at("micro_batch").empty() ? std::to_string(sequences / ranks)
                                                             : options.at("micro_batch")),
       "--warmup=0", "--reduction=" + options.at("reduction")}));
}

data::Batch RandomBatch(const configs::TrainConfig& config, int rank) {
  data::Batch batch;
  batch.rows = config.micro_batch;
  batch.seq_len = config.model.seq_len;
  const auto vocab = static_cast<uint64_t>(config.model.vocab_size);
  for (int64_t row = 0; row < batch.rows; ++row) {
    batch.samples.push_back(static_cast<uint64_t>(rank * batch.rows + row));
    for (int64_t t = 0; t < batch.seq_len; ++t) {
      const uint64_t draw = core::RandomBits(batch.samples.back(), static_cast<uint64_t>(t));
      batch.tokens.push_back(static_cast<int32_t>(draw % vocab));
      batch.targets.push_back(static_cast<int32_t>(core::Mix64(draw) % vocab));
      batch.span_start.push_back(0);
      batch.weights.push_back(1.0f);
    }
  }
  return batch;
}

// The products of one step on one rank: forward, input gradient and weight gradient of each map.
std::vector<bench::LinearProduct> ProductsOf(const configs::TrainConfig& c) {
  const configs::ModelConfig& m = c.model;
  const int64_t tokens = c.micro_batch * m.seq_len, q = m.heads * m.head_width();
  const int64_t qkv = q + 2 * m.kv_heads * m.head_width();
  const int64_t in = (m.mlp == configs::Mlp::kSwiglu ? 2 : 1) * m.ffn;
  const auto layers = static_cast<double>(m.layers);
  std::vector<bench::LinearProduct> products;
  const auto add = [&](int64_t from, int64_t to, double times, bool f32_result) {
    using bench::Pass;
    products.push_back({Pass::kForward, tokens, from, to, c.dtype, f32_result, times});
    products.push_back({Pass::kDataGradient, tokens, from, to, c.dtype, false, times});
    products.push_back({Pass::kWeightGradient, tokens, from, to, c.dtype, true, times});
  };
  add(m.width, qkv, layers, false);
  add(q, m.width, layers, false);
  add(m.width, in, layers, false);
  add(m.ffn, m.width, layers, false);
  add(m.width, m.vocab_size, 1, true);
  return products;
}

struct Measured {
  std::vector<double> seconds;  // of each step
  double communication = 0;     // share of the median step
};

// The first `unmeasured` steps touch memory and set products up.
Measured MeasureSteps(const configs::TrainConfig& config, comm::Communicator& world,
                      comm::Communicator& data, tensor::Stream& stream, int64_t unmeasured,
                      int64_t steps) {
  const auto alone = comm::MakeSelf("tensor");
  model::Transformer model(config.model, trainer::ModelOptions(config, world.size(), alone.get()),
                           stream);
  trainer::Optimizer optimizer(config, model, data, stream);
  optimizer.InitializeWeights(config.seed);
  model::AgreeOnProducts(model, stream, world, "", true);
  trainer::TrainingStep step(
      config,
      parallel::MakeWays(config.reduction == configs::Reduction::kCanonical, config.global_batch,
                         config.micro_batch, world.size(), 0),
      model, optimizer, {world, data, *alone}, stream);
  const data::Batch batch = RandomBatch(config, world.rank());
  Measured measured;
  std::vector<double> communication;
  for (int64_t i = 0; i < unmeasured + steps; ++i) {
    world.Barrier();
    const double start = core::MonotonicSeconds();
    const trainer::StepResult result = step.Run(
        i + 1, [&] { return data::Batch(batch); }, [] { return trainer::ControlWords{}; });
    data.Finish(stream);
    world.Barrier();
    if (i < unmeasured) continue;
    measured.seconds.push_back(core::MonotonicSeconds() - start);
    communication.push_back(result.communication_seconds / measured.seconds.back());
  }
  std::sort(measured.seconds.begin(), measured.seconds.end());
  std::sort(communication.begin(), communication.end());
  measured.communication = communication[communication.size() / 2];
  return measured;
}

// Of all ranks together, while all of them multiply.
double SumOverRanks(double mine, comm::Communicator& world, tensor::Stream& stream) {
  world.AllReduce(tensor::HostView(&mine, 1), comm::ReduceOp::kSum, comm::Order::kTree, stream);
  return mine;
}

// FLOP/s of the device's best product: 8192 x 8192 x 8192.
double BestProduct(core::DType dtype, tensor::Stream& stream) {
  constexpr int64_t kExtent = 8192;
  const auto matrix = [&] { return tensor::Tensor(kExtent * kExtent, dtype, stream.device()); };
  tensor::Tensor a = matrix(), b = matrix(), c = matrix();
  double best = 0;
  for (int round = 0; round < 10; ++round) {
    tensor::Event begin(stream.device()), end(stream.device());
    begin.Record(stream);
    tensor::MatMul(false, true, kExtent, kExtent, kExtent, a.view(), b.view(), {}, c.view(), false,
                   stream);
    end.Record(stream);
    best = std::max(best, 2.0 * kExtent * kExtent * kExtent / end.SecondsSince(begin));
  }
  return best;
}

int OnDevice(const Options& options, comm::MpiSession& session) {
  const auto world = session.World();
  const configs::TrainConfig config = ConfigFor(options, world->size());
  const int devices = std::max(1, tensor::CudaDevice().count());
  tensor::Stream stream(core::DeviceKind::kCuda, session.local_rank() % devices);
  const auto data = world->size() == 1                ? session.World()
                    : session.local_size() <= devices ? comm::MakeNccl(session.World())
                                                      : comm::MakeStaged(session.World());
  const double ceiling = BestProduct(config.dtype, stream);
  const Measured measured =
      MeasureSteps(config, *world, *data, stream, 3, std::stoll(options.at("steps")));
  if (world->rank() != 0) return 0;
  const auto tokens = static_cast<double>(config.global_batch * config.model.seq_len);
  const double median = measured.seconds[measured.seconds.size() / 2];
  const double rate = tokens * model::FlopsPerToken(config.model) / median / world->size();
  const double mfu = rate / (std::stod(options.at("peak_tflops")) * 1e12);
  const bool fp8 = config.matmul_dtype == configs::MatmulDType::kFp8;
  std::printf("| %s%s | %d | %lld | %lld | %.1f | %.0f | %.1f | %.1f%% | %.1f%% |\n",
              options.at("preset").c_str(), fp8 ? ", fp8" : "", world->size(),
              static_cast<long long>(config.global_batch),
              static_cast<long long>(config.model.seq_len), median * 1e3, tokens / median,
              rate / 1e12, mfu * 100, rate / ceiling * 100);
  if (options.at("json_file").empty()) return 0;
  const nlohmann::ordered_json json = {{"part", "train"},
                                       {"preset", options.at("preset")},
                                       {"dtype", core::Name(config.dtype)},
                                       {"matmul_dtype", Name(config.matmul_dtype)},
                                       {"ranks", world->size()},
                                       {"sequences", config.global_batch},
                                       {"micro_batch", config.micro_batch},
                                       {"seq_len", config.model.seq_len},
                                       {"step_ms_median", median * 1e3},
                                       {"step_ms_best", measured.seconds.front() * 1e3},
                                       {"tokens_per_s", tokens / median},
                                       {"tflops_per_rank", rate / 1e12},
                                       {"mfu", mfu},
                                       {"ceiling_tflops", ceiling / 1e12},
                                       {"communication", measured.communication}};
  std::ofstream(options.at("json_file"), std::ios::app) << json.dump() << "\n";
  return 0;
}

int Main(int argc, char** argv) {
  comm::MpiSession session(&argc, &argv);
  const Options options = ParseOptions(argc, argv);
  if (options.at("device") == "cuda") return OnDevice(options, session);
  const auto world = session.World();
  const int cores = static_cast<int>(std::thread::hardware_concurrency());
  const int asked = std::stoi(options.at("threads"));
  const int threads = asked > 0 ? asked : std::max(1, cores / world->size());
  const configs::TrainConfig config = ConfigFor(options, world->size());
  tensor::Stream stream(threads);

  // One process measures with as many threads as all ranks have together, while the others wait.
  double probe =
      world->rank() == 0 ? bench::ProbeGemmRate(config.dtype, threads * world->size()) : 0;
  probe = SumOverRanks(probe, *world, stream);
  world->Barrier();
  double ceiling =
      SumOverRanks(bench::BestRateOfStep(ProductsOf(config), threads, 3, core::MonotonicSeconds),
                   *world, stream);
  const Measured measured =
      MeasureSteps(config, *world, *world, stream, 1, std::stoll(options.at("steps")));
  world->Barrier();  // and again: the better of two, since the machine may have been busy
  ceiling = std::max(ceiling, SumOverRanks(bench::BestRateOfStep(ProductsOf(config), threads, 3,
                                                                 core::MonotonicSeconds),
                                           *world, stream));

  const auto tokens = static_cast<double>(config.global_batch * config.model.seq_len);
  const double flop = tokens * model::FlopsPerToken(config.model);
  const double best = measured.seconds.front();
  const double median = measured.seconds[measured.seconds.size() / 2];
  const bool sound = ceiling >= 0.9 * probe;
  if (world->rank() == 0) {
    const nlohmann::ordered_json json = {{"preset", options.at("preset")},
                                         {"dtype", core::Name(config.dtype)},
                                         {"matmul_dtype", Name(config.matmul_dtype)},
                                         {"ranks", world->size()},
                                         {"threads", threads},
                                         {"sequences", config.global_batch},
                                         {"micro_batch", config.micro_batch},
                                         {"seq_len", config.model.seq_len},
                                         {"reduction", options.at("reduction")},
                                         {"gemm_fraction", flop / best / ceiling},
                                         {"gemm_fraction_median", flop / median / ceiling},
                                         {"tokens_per_s", tokens / best},
                                         {"tokens_per_s_median", tokens / median},
                                         {"step_ms", best * 1e3},
                                         {"communication", measured.communication},
                                         {"ceiling_gflops", ceiling / 1e9},
                                         {"probe_gflops", probe / 1e9}};
    if (options.at("json") == "true") {
      std::printf("%s\n", json.dump().c_str());
    } else {
      for (const auto& [name, value] : json.items()) {
        std::printf("%-22s %s\n", name.c_str(), value.dump().c_str());
      }
    }
    if (!sound) {
      std::fprintf(stderr,
                   "bench_train: the ceiling, %.0f GFLOP/s, is below 90%% of the %.0f GFLOP/s that "
                   "moat-probe finds: the machine was busy; run it again\n",
                   ceiling / 1e9, probe / 1e9);
    }
  }
  return sound ? 0 : 1;
}

}  // namespace
}  // namespace moat

int main(int argc, char** argv) {
  return moat::core::RunMain([&] { return moat::Main(argc, argv); });
}
