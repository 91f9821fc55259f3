// What an import reaches of its tokenizer's own rate on all cores, both measured in one run.
//
//   bench_import [--json] [--interactions=400000] [--threads=0] [--directory=/tmp]
//
// The input is invented (moat data synth). The first import trains a tokenizer and is not timed;
// the second takes it, so that what is timed grows with the input. The ceiling: one thread encodes
// texts of the same input, nothing else, times the threads. Memory is the process's peak.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "data/formats/record_file.h"
#include "data/import.h"
#include "data/synth.h"
#include "data/tokenizer.h"

namespace moat::bench {
namespace {

namespace fs = std::filesystem;

struct Options {
  bool json = false;
  int64_t interactions = 400'000;
  int threads = 0;
  std::string directory = fs::temp_directory_path();
};

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const std::string value = word.substr(std::min(word.size(), word.find('=') + 1));
    if (word == "--json") {
      options.json = true;
    } else if (word.starts_with("--interactions=")) {
      options.interactions = std::stoll(value);
    } else if (word.starts_with("--threads=")) {
      options.threads = std::stoi(value);
    } else if (word.starts_with("--directory=")) {
      options.directory = value;
    } else {
      throw core::ConfigError("unknown option " + word + "; see tests/bench/import_bench.cc");
    }
  }
  options.threads = core::ThreadsOf(options.threads);
  return options;
}

// A directory that goes with the program.
class Workplace {
 public:
  explicit Workplace(const std::string& parent)
      : path_(fs::path(parent) / ("bench_import-" + std::to_string(getpid()))) {
    fs::create_directories(path_);
  }
  ~Workplace() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Workplace(const Workplace&) = delete;
  Workplace& operator=(const Workplace&) = delete;
  fs::path operator/(const char* name) const { return path_ / name; }

 private:
  fs::path path_;
};

// MB of text a second that one thread encodes; best of three passes over the start of the input.
double TokenizerRate(const fs::path& model, const fs::path& input) {
  constexpr int64_t kSample = 8 << 20;
  const data::Tokenizer tokenizer = data::Tokenizer::Load(model);
  std::vector<std::string> texts;
  int64_t bytes = 0;
  std::ifstream stream(input);
  for (std::string line; bytes < kSample && std::getline(stream, line);) {
    data::Interaction interaction = data::formats::ParseRecord(line, {}, "").at(0);
    for (data::Segment& segment : interaction.segments) {
      bytes += static_cast<int64_t>(segment.text.size());
      texts.push_back(std::move(segment.text));
    }
  }
  double best = 0;
  for (int pass = 0; pass < 3; ++pass) {
    size_t tokens = 0;
    const double start = core::MonotonicSeconds();
    for (const std::string& text : texts) tokens += tokenizer.Encode(text).size();
    const double rate = static_cast<double>(bytes) / 1e6 / (core::MonotonicSeconds() - start);
    if (tokens > 0) best = std::max(best, rate);
  }
  return best;
}

int Main(int argc, char** argv) {
  const Options options = Parse(argc, argv);
  const Workplace place(options.directory);
  configs::SynthConfig synth;
  synth.interactions = options.interactions;
  synth.out = place / "input.jsonl";
  const int64_t input_bytes = data::WriteSynth(synth);

  configs::ImportConfig import_config;
  import_config.in = {synth.out};
  import_config.out = place / "first";
  import_config.threads = options.threads;
  data::Import(import_config);
  import_config.tokenizer = place / "first/tokenizer.model";
  import_config.out = place / "second";
  const double tokenizer = TokenizerRate(import_config.tokenizer, synth.out);
  const data::ImportReport report = data::Import(import_config);

  const double rate = static_cast<double>(report.text_bytes) / 1e6 / report.seconds;
  const double fraction = rate / (tokenizer * options.threads);
  if (options.json) {
    const nlohmann::ordered_json value = {
        {"interactions", options.interactions},
        {"input_bytes", input_bytes},
        {"text_bytes", report.text_bytes},
        {"tokens", report.train.tokens + report.validation.tokens},
        {"threads", options.threads},
        {"seconds", report.seconds},
        {"import_mb_s", rate},
        {"tokenizer_mb_s", tokenizer},
        {"fraction", fraction},
        {"peak_memory_bytes", core::PeakMemory().value}};
    std::printf("%s\n", value.dump().c_str());
  } else {
    std::printf(
        "import %.2f MB/s of text, %d threads; tokenizer alone %.2f MB/s a thread: %.1f%%; "
        "peak memory %.0f MB\n",
        rate, options.threads, tokenizer, 100 * fraction,
        static_cast<double>(core::PeakMemory().value) / 1e6);
  }
  return 0;
}

}  // namespace
}  // namespace moat::bench

int main(int argc, char** argv) {
  moat::core::StartLogging("bench_import");
  return moat::core::RunMain([&] { return moat::bench::Main(argc, argv); });
}
