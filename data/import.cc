// The import, step by step.
#include "data/import.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "core/clock.h"
#include "core/digest.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"
#include "core/rng.h"
#include "core/units.h"
#include "data/build_directory.h"
#include "data/hygiene.h"
#include "data/import_plan.h"
#include "data/index.h"
#include "data/shard_set.h"
#include "data/splitting.h"
#include "data/spool.h"
#include "data/tokenizer_training.h"
#include "data/user_key.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

// Says how far the work is, every few seconds.
class Progress {
 public:
  void Report(const char* verb, int64_t done, int64_t bytes, int64_t total_bytes) {
    const double now = core::MonotonicSeconds();
    if (now - last_ < 2.0) return;
    last_ = now;
    const double seconds = now - start_;
    core::Log log;
    log << verb << " " << done << " interactions, "
        << core::FormatCount(static_cast<double>(done) / seconds) << " a second, "
        << core::Format(core::Bytes(bytes));
    if (total_bytes > 0 && bytes > 0) {
      const double share = static_cast<double>(bytes) / static_cast<double>(total_bytes);
      log << " of " << core::Format(core::Bytes(total_bytes)) << ", "
          << core::FormatSeconds(seconds * (1 - share) / share) << " to go";
    }
  }

 private:
  double start_ = core::MonotonicSeconds();
  double last_ = start_;
};

// The first pass: everything readable goes to the spool and the splitter.
class FirstPass : public ImportSink {
 public:
  FirstPass(const fs::path& directory, const configs::HygieneConfig& hygiene)
      : directory_(directory), hygiene_(hygiene), spool_(SpoolPath()) {}

  fs::path SpoolPath() const { return directory_ / "spool"; }

  void Add(Interaction interaction) override {
    ++read;
    if (!hygiene_.Apply(&interaction)) return;
    bytes += interaction.TextBytes();
    splitter.Add(interaction);
    spool_.Add(interaction);
    progress_.Report("read", ++interactions, bytes, 0);
  }

  void Quarantine(const std::string& file, int64_t line, const std::string& reason,
                  const std::string& text) override {
    if (!quarantine_) quarantine_.emplace(directory_ / "quarantine.jsonl");
    const nlohmann::json record = {
        {"file", file}, {"line", line}, {"reason", reason}, {"text", text.substr(0, 200)}};
    quarantine_->Write(record.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
                       "\n");
    if (quarantined < 3) examples += "\n  " + file + ":" + std::to_string(line) + ": " + reason;
    ++quarantined;
  }

  void Count(const std::string& what) override { ++counts[what]; }

  void Close() {
    spool_.Close();
    counts.merge(hygiene_.Counts());
    if (quarantine_) quarantine_->SyncAndClose();
  }

  int64_t read = 0;          // interactions, before hygiene
  int64_t interactions = 0;  // kept
  int64_t bytes = 0;
  int64_t quarantined = 0;
  std::string examples;  // of bad records, for messages
  std::map<std::string, int64_t> counts;
  Splitter splitter;

 private:
  fs::path directory_;
  Hygiene hygiene_;
  SpoolWriter spool_;
  std::optional<core::FileWriter> quarantine_;
  Progress progress_;
};

// Whether OUT is free, or came from this very import. Anything else is refused.
bool AlreadyDone(const fs::path& out, const std::string& digest) {
  if (!fs::exists(out) || (fs::is_directory(out) && fs::is_empty(out))) return false;
  if (fs::exists(out / kIndexFile) && ReadIndex(out).provenance.import_digest == digest) {
    return true;
  }
  throw core::ConfigError("--out=" + out.string() +
                          " exists and was not made from these inputs and flags; remove it or "
                          "choose another directory");
}

void ReadSources(const ImportPlan& plan, const configs::ImportConfig& config, FirstPass* pass,
                 ImportReport* report) {
  for (const ImportSource& source : plan.sources) {
    const int64_t before = pass->read;
    ReadSource(source, config, pass);
    if (source.kind == ImportSource::Kind::kRecords) {
      report->records += pass->read - before;
    }
  }
  pass->Close();
  report->records += pass->quarantined;
  report->quarantined = pass->quarantined;
  report->counts = pass->counts;
  report->text_bytes = pass->bytes;
  const double bad = static_cast<double>(pass->quarantined);
  if (bad > config.max_bad_fraction * static_cast<double>(report->records)) {
    throw core::DataError(std::to_string(pass->quarantined) + " of " +
                          std::to_string(report->records) +
                          " records cannot be read, more than --max_bad_fraction=" +
                          nlohmann::json(config.max_bad_fraction).dump() +
                          " allows:" + pass->examples + "\nmend them, or raise --max_bad_fraction");
  }
  if (pass->interactions == 0) {
    std::string skipped;
    for (const auto& [what, count] : pass->counts) {
      skipped += "; " + std::to_string(count) + " " + what;
    }
    throw core::DataError("no interactions in " + config.in[0] +
                          (config.in.size() > 1 ? " and the others" : "") + skipped +
                          ": expected records (as *.jsonl), text files or git history");
  }
}

// Writes DIR/tokenizer.model and loads it. Trained on training text only, so that validation stays
// unseen; with more text than the sample holds, on interactions drawn by number.
Tokenizer MakeTokenizer(const configs::ImportConfig& config, const FirstPass& pass,
                        const Split& split, const fs::path& directory) {
  const fs::path path = directory / "tokenizer.model";
  if (!config.tokenizer.empty()) {
    Tokenizer::Load(config.tokenizer);  // refuses it under its own name
    core::WriteFileAtomically(path, core::ReadWholeFile(config.tokenizer));
    return Tokenizer::Load(path);
  }
  TokenizerTraining training(config.vocab_size);
  const double share = static_cast<double>(TokenizerTraining::kSampleBytes) /
                       static_cast<double>(std::max<int64_t>(pass.bytes, 1));
  const uint64_t key = core::KeyFromName(config.seed, "tokenizer sample");
  SpoolReader spool(pass.SpoolPath());
  Interaction interaction;
  for (size_t i = 0; spool.Next(&interaction); ++i) {
    if (split.validation[i] || core::RandomUniform(key, i) >= share) continue;
    for (const Segment& segment : interaction.segments) training.Add(segment.text);
  }
  core::Log() << "training a tokenizer of at most " << config.vocab_size << " tokens";
  core::WriteFileAtomically(path, training.Train());
  return Tokenizer::Load(path);
}

std::string UserKey(const configs::ImportConfig& config, const fs::path& directory) {
  if (!config.user_key.empty()) return ReadUserKey(directory, config.user_key);
  std::string key = core::RandomKey(kUserKeyBytes);
  core::WriteFileAtomically(directory / kUserKeyFile, key, 0600);
  return key;
}

std::vector<ShardEntry> WriteShards(const configs::ImportConfig& config, const FirstPass& pass,
                                    const Split& split, const Tokenizer& tokenizer,
                                    const fs::path& directory) {
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  ShardSet shards(directory, tokenizer, UserKey(config, directory), config.shard_tokens,
                  config.threads > 0 ? config.threads : cores);
  Progress progress;
  SpoolReader spool(pass.SpoolPath());
  Interaction interaction;
  int64_t bytes = 0;
  for (size_t i = 0; spool.Next(&interaction); ++i) {
    bytes += interaction.TextBytes();
    shards.Add(std::move(interaction), split.validation[i]);
    progress.Report("encoded", static_cast<int64_t>(i), bytes, pass.bytes);
  }
  return shards.Finish();
}

void WriteDatasetIndex(const ImportPlan& plan, const Tokenizer& tokenizer, const Split& split,
                       std::vector<ShardEntry> shards, const fs::path& directory,
                       ImportReport* report) {
  Index index;
  index.vocab_size = tokenizer.vocab_size();
  index.tokenizer_digest = tokenizer.digest();
  index.template_digest = Tokenizer::template_digest();
  index.shards = std::move(shards);
  int64_t interactions = 0;
  for (const ShardEntry& shard : index.shards) interactions += shard.interactions;
  AddVersion(&index, "import", interactions);
  index.provenance.import_digest = plan.digest;
  for (const ImportSource& source : plan.sources) {
    index.provenance.inputs.push_back(source.path.string());
  }
  index.provenance.split_rule = split.rule;
  index.provenance.created_micros = core::WallMicroseconds();
  index.provenance.counts = report->counts;
  index.provenance.counts["records quarantined"] = report->quarantined;
  index.provenance.counts["text bytes"] = report->text_bytes;
  WriteIndex(directory, index);
}

void FillReport(const Index& index, ImportReport* report) {
  for (const ShardEntry& shard : index.shards) {
    SplitReport& split = shard.split == "train" ? report->train : report->validation;
    split.interactions += shard.interactions;
    split.tokens += shard.tokens;
  }
  report->split_rule = index.provenance.split_rule;
  report->vocab_size = index.vocab_size;
  report->content_digest = index.content_digest;
}

}  // namespace

ImportReport Import(const configs::ImportConfig& config) {
  const double start = core::MonotonicSeconds();
  fs::path out = fs::absolute(config.out).lexically_normal();
  if (!out.has_filename()) out = out.parent_path();
  ImportReport report;
  const ImportPlan plan = PlanImport(config, {out});
  if (AlreadyDone(out, plan.digest)) {
    report.already_done = true;
  } else {
    BuildDirectory build(out);
    FirstPass pass(build.path(), config.hygiene);
    ReadSources(plan, config, &pass, &report);
    const Split split = pass.splitter.Decide(config.validation_fraction, config.seed);
    core::Log() << "split " << split.rule;
    if (split.groups < 2) {
      core::Log(core::Log::kWarning) << "one group only: the validation split is empty";
    }
    const Tokenizer tokenizer = MakeTokenizer(config, pass, split, build.path());
    WriteDatasetIndex(plan, tokenizer, split,
                      WriteShards(config, pass, split, tokenizer, build.path()), build.path(),
                      &report);
    fs::remove(pass.SpoolPath());
    build.Commit();
  }
  FillReport(ReadIndex(out), &report);
  report.seconds = core::MonotonicSeconds() - start;
  return report;
}

}  // namespace moat::data
