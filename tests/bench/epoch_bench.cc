// One epoch of a data set, as a run reads it: how long opening, seeking and reading take, and how
// much memory.
//
//   build/bin/bench_epoch DIR [--seq_len=1024] [--json]
//
// Reads every training sample once through the prefetcher, micro-batches of 8, from a cold start of
// the process (the page cache is as it is). A seek is the first batch of a stream that was opened
// just now, at a place far away in a late epoch: no history is needed for it.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "core/clock.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "core/rng.h"
#include "data/sample_stream.h"

namespace moat {
namespace {

constexpr uint64_t kRows = 8;

std::vector<uint64_t> Numbers(uint64_t first, uint64_t end) {
  std::vector<uint64_t> numbers;
  for (uint64_t n = first; n < std::min(end, first + kRows); ++n) numbers.push_back(n);
  return numbers;
}

int Main(int argc, char** argv) {
  std::string directory;
  data::StreamOptions options;
  options.packing.seq_len = 1024;
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    const std::string text = argv[i];
    if (text.rfind("--seq_len=", 0) == 0) {
      options.packing.seq_len = std::stoll(text.substr(10));
    } else if (text == "--json") {
      json = true;
    } else {
      directory = text;
    }
  }
  if (directory.empty()) throw core::ConfigError("usage: bench_epoch DIR; see its source");

  const double start = core::MonotonicSeconds();
  const data::Dataset dataset = data::Dataset::Open(directory);
  const auto open = [&] { return data::SampleStream(dataset, "train", options); };
  const data::SampleStream stream = open();
  const double opened = core::MonotonicSeconds() - start;
  const auto samples = static_cast<uint64_t>(stream.samples_per_epoch());

  double slowest_seek = 0, reopened = 0;
  for (uint64_t i = 0; i < 5; ++i) {
    const double before = core::MonotonicSeconds();
    const data::SampleStream fresh = open();
    const double between = core::MonotonicSeconds();
    const uint64_t first = 1000 * samples + core::RandomBits(7, i) % samples;
    fresh.Read(Numbers(first, first + kRows));
    reopened = std::max(reopened, between - before);
    slowest_seek = std::max(slowest_seek, core::MonotonicSeconds() - between);
  }

  const double begin = core::MonotonicSeconds();
  double weight = 0;
  {
    data::Prefetcher prefetcher(stream, [&](int64_t i) {
      const auto first = static_cast<uint64_t>(i) * kRows;
      return Numbers(std::min(first, samples - 1), samples);
    });
    for (uint64_t n = 0; n < samples; n += kRows) {
      for (const float w : prefetcher.Next().weights) weight += static_cast<double>(w);
    }
  }
  const double seconds = core::MonotonicSeconds() - begin;
  const auto tokens = static_cast<double>(samples) * static_cast<double>(options.packing.seq_len);
  const nlohmann::ordered_json result = {
      {"samples", samples},
      {"seq_len", options.packing.seq_len},
      {"open_s", opened},
      {"reopen_s", reopened},
      {"slowest_seek_s", slowest_seek},
      {"epoch_s", seconds},
      {"tokens_per_s", tokens / seconds},
      {"weight", weight},
      {"peak_memory_mb", static_cast<double>(core::PeakMemory().value) / 1e6}};
  if (json) {
    std::printf("%s\n", result.dump().c_str());
  } else {
    for (const auto& [name, value] : result.items()) {
      std::printf("%-18s %s\n", name.c_str(), value.dump().c_str());
    }
  }
  return 0;
}

}  // namespace
}  // namespace moat

int main(int argc, char** argv) {
  moat::core::StartLogging("bench_epoch");
  return moat::core::RunMain([&] { return moat::Main(argc, argv); });
}
