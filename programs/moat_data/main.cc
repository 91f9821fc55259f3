// moat-data: import, synth, stat, verify and show data sets. Started as `moat data ...`, or by
// itself.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "configs/command_line.h"
#include "core/error.h"
#include "core/logging.h"
#include "core/units.h"
#include "data/dry_run.h"
#include "data/forget.h"
#include "data/import.h"
#include "data/show.h"
#include "data/statistics.h"
#include "data/synth.h"
#include "data/verify.h"
#include "programs/moat_data/user_runs.h"
#include "programs/subcommands.h"

namespace moat::programs {
namespace {

using configs::CommandLine;
using nlohmann::json;

void PrintImport(const data::ImportReport& report, const std::string& out, bool as_json) {
  if (as_json) {
    const auto split = [](const data::SplitReport& value) {
      return json{{"interactions", value.interactions}, {"tokens", value.tokens}};
    };
    std::cout << json{{"out", out},
                      {"already_done", report.already_done},
                      {"version", report.version},
                      {"added", report.added},
                      {"split_rule", report.split_rule},
                      {"train", split(report.train)},
                      {"validation", split(report.validation)},
                      {"test", split(report.test)},
                      {"vocab_size", report.vocab_size},
                      {"text_bytes", report.text_bytes},
                      {"records", report.records},
                      {"quarantined", report.quarantined},
                      {"skipped", report.counts},
                      {"content_digest", report.content_digest},
                      {"seconds", report.seconds}}
              << "\n";
    return;
  }
  if (report.already_done) std::cout << "nothing to do: " << out << " holds this import already\n";
  std::cout << "train       " << report.train.interactions << " interactions, "
            << report.train.tokens << " tokens\n"
            << "validation  " << report.validation.interactions << " interactions, "
            << report.validation.tokens << " tokens\n";
  if (report.test.interactions > 0) {
    std::cout << "test        " << report.test.interactions << " interactions, "
              << report.test.tokens << " tokens\n";
  }
  std::cout << "split       " << report.split_rule << "\n"
            << "vocabulary  " << report.vocab_size << " tokens\n"
            << "content     " << report.content_digest << "\n";
  for (const auto& [what, count] : report.counts) std::cout << count << " " << what << "\n";
  if (report.quarantined > 0) {
    std::cout << report.quarantined << " of " << report.records << " records quarantined in " << out
              << "/quarantine.jsonl\n";
  }
  if (!report.already_done) {
    std::cout << report.added << " interactions added; " << out << " is at version "
              << report.version << ", in " << core::FormatSeconds(report.seconds) << "\n";
  }
}

int RunImport(const CommandLine& line) {
  const configs::ImportConfig config = configs::ImportConfigFromFlags(line);
  if (config.dry_run) {
    const data::DryRunReport report = data::DryRun(config);
    std::cout << (line.Bool("json") ? data::ToJson(report) + "\n" : data::ToText(report));
    return 0;
  }
  PrintImport(data::Import(config), config.out, line.Bool("json"));
  return 0;
}

int RunForget(const CommandLine& line) {
  const std::string& directory = line.positional()[0];
  const data::ForgetReport report =
      data::Forget(directory, line.value("user"), line.value("user_key"));
  if (line.Bool("json")) {
    std::cout << json{{"interactions", report.interactions},
                      {"tokens", report.tokens},
                      {"shards", report.shards},
                      {"files_removed", report.files_removed},
                      {"version", report.version}}
              << "\n";
  } else if (report.interactions == 0) {
    std::cout << "nothing to forget: " << directory << " holds no interaction of that user\n";
  } else {
    std::cout << report.interactions << " interactions (" << report.tokens << " tokens) in "
              << report.shards << " shards are blanks now; " << directory << " is at version "
              << report.version << "\n";
  }
  return 0;
}

int RunSynth(const CommandLine& line) {
  const configs::SynthConfig config = configs::SynthConfigFromFlags(line);
  const int64_t bytes = data::WriteSynth(config);
  if (config.out == "-") return 0;  // standard output holds the records
  if (line.Bool("json")) {
    std::cout << json{{"out", config.out}, {"interactions", config.interactions}, {"bytes", bytes}}
              << "\n";
  } else {
    std::cout << "wrote " << config.out << ": " << config.interactions << " interactions, "
              << core::Format(core::Bytes(bytes)) << "\n";
  }
  return 0;
}

int RunStat(const CommandLine& line) {
  const data::Dataset dataset = data::Dataset::Open(line.positional()[0]);
  if (!line.value("user").empty()) {
    const data::UserStatistics user =
        data::MeasureUser(dataset, line.value("user"), line.value("user_key"));
    const std::vector<UserRun> runs = RunsThatReadUser(line.value("run_root"), user);
    if (line.Bool("json")) {
      json value = json::parse(data::ToJson(user));
      value["runs"] = json::parse(ToJson(runs));
      std::cout << value << "\n";
    } else {
      std::cout << data::ToText(user) << ToText(runs);
    }
    return 0;
  }
  const data::Statistics statistics = data::Measure(dataset, line.Bool("baselines"));
  std::cout << (line.Bool("json") ? data::ToJson(statistics) + "\n" : data::ToText(statistics));
  return 0;
}

int RunVerify(const CommandLine& line) {
  const std::string& directory = line.positional()[0];
  const data::VerifyReport report = data::Verify(directory);
  if (line.Bool("json")) {
    std::cout << json{{"ok", true},
                      {"shards", report.shards},
                      {"interactions", report.interactions},
                      {"tokens", report.tokens},
                      {"bytes", report.bytes},
                      {"rewritten", report.rewritten}}
              << "\n";
  } else {
    std::cout << directory << " is intact: " << report.shards << " shards, " << report.interactions
              << " interactions, " << report.tokens << " tokens, "
              << core::Format(core::Bytes(report.bytes)) << "\n";
  }
  return 0;
}

int RunShow(const CommandLine& line) {
  const data::Dataset dataset = data::Dataset::Open(line.positional()[0]);
  const std::string split = line.value("split").empty() ? "train" : line.value("split");
  if (split != "train" && split != "validation" && split != "test") {
    throw core::ConfigError("--split=" + split + ": expected train, validation or test");
  }
  int64_t interactions = 0;
  for (const data::ShardEntry& shard : dataset.ShardsOf(split)) interactions += shard.interactions;
  const int64_t start = line.Int("start");
  const int64_t end =
      std::min(start + std::max<int64_t>(line.Int("count"), 1), std::max(interactions, start + 1));
  for (int64_t number = start; number < end; ++number) {
    std::cout << data::Show(dataset, split, number, line.Bool("json"));
  }
  return 0;
}

int Main(int argc, char** argv) {
  return RunSubcommand("data",
                       {{"forget", RunForget},
                        {"import", RunImport},
                        {"show", RunShow},
                        {"stat", RunStat},
                        {"synth", RunSynth},
                        {"verify", RunVerify}},
                       argc - 1, argv + 1);
}

}  // namespace
}  // namespace moat::programs

int main(int argc, char** argv) {
  moat::core::StartLogging("moat-data");
  return moat::core::RunMain([&] { return moat::programs::Main(argc, argv); });
}
