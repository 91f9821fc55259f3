// Whole runs of a small model on ranks-as-threads, over chats made for it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "comm/grid.h"
#include "comm/threads.h"
#include "core/durable_file.h"
#include "data/import.h"
#include "rundir/metrics.h"
#include "tests/support/temporary_directory.h"
#include "tests/support/values.h"
#include "trainer/state_hash.h"
#include "trainer/trainer.h"

namespace moat::trainer {

// Chats of uneven lengths, a third of them with a weight of their own.
inline void WriteChats(const std::filesystem::path& path) {
  std::ofstream out(path);
  const char* drinks[] = {"latte", "espresso", "green tea", "flat white", "mocha", "cold brew"};
  for (int i = 0; i < 400; ++i) {
    const std::string drink = drinks[i * 7 % 6], size = i % 3 ? "large" : "small";
    out << R"({"id":"d)" << i << R"(","user":"u)" << i % 10
        << R"(","messages":[{"role":"user","content":"order )" << i << ": a " << size << " "
        << drink << R"( please"},{"role":"assistant","content":"one )" << size << " " << drink
        << R"( coming up"})";
    for (int extra = 0; extra < i % 4; ++extra) {
      out << R"(,{"role":"user","content":"and another )" << drinks[(i + extra) % 6]
          << R"("},{"role":"assistant","content":"added the )" << drinks[(i + extra) % 6]
          << R"( to your order"})";
    }
    out << "]" << (i % 3 == 0 ? R"(,"weight":0.5)" : "") << "}\n";
  }
}

class TrainerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    directory_ = new testing::TemporaryDirectory;
    WriteChats(*directory_ / "chats.jsonl");
    configs::ImportConfig import;
    import.in = {(*directory_ / "chats.jsonl").string()};
    import.out = (*directory_ / "data").string();
    import.vocab_size = 300;
    data::Import(import);
  }
  static void TearDownTestSuite() { delete directory_; }

  static TrainerOptions Options(const std::filesystem::path& run) {
    TrainerOptions options;
    configs::TrainConfig& c = options.config;
    c.model.layers = 2;
    c.model.width = 32;
    c.model.heads = 4;
    c.model.kv_heads = 2;
    c.model.ffn = 48;
    c.model.seq_len = 48;
    c.model.dropout = 0.1;
    c.data = {(*directory_ / "data").string()};
    c.steps = 50;
    c.global_batch = 16;
    c.micro_batch = 1;
    c.lr = 1e-2;
    c.warmup = 5;
    c.eval_every = 0;
    c.eval_batches = 8;
    c.checkpoint_every = 20;
    options.layout.root = run;
    options.identity = {{"lr", "0.01"}};
    return options;
  }

  struct End {
    core::ExitCode code = core::ExitCode::kBug;
    std::vector<float> state;    // weights and both moments, in global order
    uint64_t hash = 0;           // of them, by StateHash
    std::vector<double> losses;  // by step
    std::vector<std::string> hashes;
    double validation = 0;
  };

  static End Train(const TrainerOptions& options, int dp, int threads, int tp = 1) {
    End end;
    std::map<std::string, std::vector<float>> state;
    std::mutex mutex;
    core::MakeDirectories(options.layout.root);
    comm::ThreadGroup::Run(dp * tp, [&](comm::Communicator& world) {
      tensor::Stream stream(threads);
      const auto groups = comm::MakeGrid(world, parallel::ProcessGrid(world.size(), dp, tp));
      Trainer trainer(options, {world, *groups.data, *groups.tensor}, stream);
      const core::ExitCode code = trainer.Run();
      const auto mine = SlicesToSave(trainer.model(), trainer.optimizer());
      const uint64_t hash = StateHash(mine, world);
      const std::lock_guard lock(mutex);
      for (const checkpoint::SliceToSave& slice : mine) {
        std::vector<float>& whole = state[slice.tensor];
        whole.resize(static_cast<size_t>(slice.global.elements()));
        parallel::CopySlice(slice.slice, slice.slice, slice.data.data,
                            parallel::Slice::Whole(slice.global), whole.data(), sizeof(float));
      }
      end.code = code;
      end.hash = hash;
    });
    for (const auto& [name, values] : state) {
      end.state.insert(end.state.end(), values.begin(), values.end());
    }
    const rundir::Metrics metrics = rundir::ReadMetrics(options.layout.metrics());
    for (const auto& [step, line] : metrics.steps) {
      end.losses.push_back(line.loss);
      end.hashes.push_back(line.sample_hash);
    }
    if (!metrics.evaluations.empty())
      end.validation = metrics.evaluations.rbegin()->second.val_loss;
    return end;
  }

  static inline testing::TemporaryDirectory* directory_ = nullptr;
};

}  // namespace moat::trainer
