// The import, step by step.
#include "data/import.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/clock.h"
#include "core/digest.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/fault.h"
#include "core/host.h"
#include "core/logging.h"
#include "core/rng.h"
#include "data/append.h"
#include "data/build_directory.h"
#include "data/dataset_lock.h"
#include "data/hygiene.h"
#include "data/import_plan.h"
#include "data/import_state.h"
#include "data/index.h"
#include "data/leftovers.h"
#include "data/progress.h"
#include "data/selection.h"
#include "data/shard_set.h"
#include "data/spool.h"
#include "data/tokenizer_training.h"
#include "data/user_key.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

constexpr const char* kTokenizerFile = "tokenizer.model";

SplitRequest RequestOf(const configs::ImportConfig& config, const AppendBase* base) {
  if (base != nullptr) return base->Request();
  SplitRequest request;
  request.by = config.split;
  request.validation_fraction = config.validation_fraction;
  request.test_fraction = config.test_fraction;
  request.seed = config.seed;
  return request;
}

// The first pass: everything readable goes to the spool and to the selection.
class FirstPass : public ImportSink {
 public:
  // `base`: what is added to, or null.
  FirstPass(const fs::path& directory, const configs::ImportConfig& config, const AppendBase* base)
      : directory_(directory),
        hygiene_(config.hygiene),
        spool_(SpoolPath()),
        selection_(std::in_place, directory, config, RequestOf(config, base)) {
    if (base != nullptr) selection_->AddOld(base->dataset());
  }

  fs::path SpoolPath() const { return directory_ / kSpoolFile; }

  void Add(Interaction interaction) override {
    ++read;
    if (!hygiene_.Apply(&interaction)) return;
    bytes += interaction.TextBytes();
    selection_->Add(interaction);
    spool_.Add(interaction);
    progress_.Report(++interactions, bytes);
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

  // What to keep, and for which split; adds to the counts of the report. Once, after Close.
  Split Settle(std::map<std::string, int64_t>* report_counts) {
    Split split = selection_->Settle(SpoolPath(), report_counts);
    selection_.reset();  // and its files
    return split;
  }

  int64_t read = 0;          // interactions, before hygiene
  int64_t interactions = 0;  // kept
  int64_t bytes = 0;
  int64_t quarantined = 0;
  std::string examples;  // of bad records, for messages
  std::map<std::string, int64_t> counts;

 private:
  fs::path directory_;
  Hygiene hygiene_;
  SpoolWriter spool_;
  std::optional<Selection> selection_;
  std::optional<core::FileWriter> quarantine_;
  Progress progress_{"read", 0};
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
                 ImportState* state) {
  for (const ImportSource& source : plan.sources) {
    const int64_t before = pass->read;
    ReadSource(source, config, pass);
    if (source.kind == ImportSource::Kind::kRecords) {
      state->records += pass->read - before;
    }
  }
  pass->Close();
  state->records += pass->quarantined;
  state->quarantined = pass->quarantined;
  state->counts = pass->counts;
  state->counts["interactions read"] = pass->read;
  state->text_bytes = pass->bytes;
  const double bad = static_cast<double>(pass->quarantined);
  if (bad > config.max_bad_fraction * static_cast<double>(state->records)) {
    throw core::DataError(std::to_string(pass->quarantined) + " of " +
                          std::to_string(state->records) +
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

// Writes DIR/tokenizer.model. Trained on training text only, so that validation stays unseen; with
// more text than the sample holds, on interactions drawn by number.
void MakeTokenizer(const configs::ImportConfig& config, const ImportState& state,
                   const fs::path& directory) {
  const fs::path path = directory / kTokenizerFile;
  if (!config.tokenizer.empty()) {
    Tokenizer::Load(config.tokenizer);  // refuses it under its own name
    core::WriteFileAtomically(path, core::ReadWholeFile(config.tokenizer));
    return;
  }
  TokenizerTraining training(config.vocab_size);
  const double share = static_cast<double>(TokenizerTraining::kSampleBytes) /
                       static_cast<double>(std::max<int64_t>(state.text_bytes, 1));
  const uint64_t key = core::KeyFromName(config.seed, "tokenizer sample");
  SpoolReader spool(directory / kSpoolFile);
  Interaction interaction;
  for (size_t i = 0; spool.Next(&interaction); ++i) {
    if (state.split.SideOf(i) != Side::kTrain || core::RandomUniform(key, i) >= share) continue;
    for (const Segment& segment : interaction.segments) training.Add(segment.text);
  }
  core::Log() << "training a tokenizer of at most " << config.vocab_size << " tokens";
  core::WriteFileAtomically(path, training.Train());
}

void MakeUserKey(const configs::ImportConfig& config, const fs::path& directory) {
  if (config.user_key.empty()) {
    core::WriteFileAtomically(directory / kUserKeyFile, core::RandomKey(kUserKeyBytes), 0600);
  } else {
    ReadUserKey(directory, config.user_key);  // refuses it before anything is read
  }
}

// Reads the inputs, settles the split, makes key and tokenizer unless `base` has them.
ImportState RunFirstPass(const ImportPlan& plan, const configs::ImportConfig& config,
                         const AppendBase* base, const fs::path& directory) {
  ImportState state;
  if (base == nullptr) MakeUserKey(config, directory);
  FirstPass pass(directory, config, base);
  ReadSources(plan, config, &pass, &state);
  state.split = pass.Settle(&state.counts);
  if (base == nullptr) {
    core::Log() << "split " << state.split.rule;
    if (state.split.groups < 2) {
      core::Log(core::Log::kWarning) << "one group only: the validation split is empty";
    }
    MakeTokenizer(config, state, directory);
  }
  core::FaultPoint("import.before_state");
  WriteImportState(directory, state);
  core::FaultPoint("import.after_state");
  return state;
}

// Where shards go: a data set that is being built, or one that is added to.
struct ShardTarget {
  fs::path directory;
  std::string key;
  std::vector<ShardEntry> earlier;
};

// `directory` holds spool and state. Returns the new shards.
std::vector<ShardEntry> WriteShards(const configs::ImportConfig& config, const ImportState& state,
                                    const ShardTarget& target, const fs::path& directory) {
  const Tokenizer tokenizer = Tokenizer::Load(target.directory / kTokenizerFile);
  ShardSet::Resume resume = {
      ReadSealed(directory, target.directory),
      [&](const std::vector<ShardEntry>& sealed) { WriteSealed(directory, sealed); },
      target.earlier};
  if (!resume.sealed.empty()) {
    core::Log() << resume.sealed.size() << " shards are there already";
  }
  ShardSet shards(target.directory, tokenizer, target.key, config.shard_tokens,
                  core::ThreadsOf(config.threads), std::move(resume));
  Progress progress("encoded", state.text_bytes);
  SpoolReader spool(directory / kSpoolFile);
  Interaction interaction;
  int64_t bytes = 0;
  for (size_t i = 0; spool.Next(&interaction); ++i) {
    bytes += interaction.TextBytes();
    const Side side = state.split.SideOf(i);
    if (side != Side::kLeftOut) shards.Add(std::move(interaction), side);
    progress.Report(static_cast<int64_t>(i), bytes);
  }
  return shards.Finish();
}

std::vector<std::string> InputsOf(const ImportPlan& plan) {
  std::vector<std::string> inputs;
  for (const ImportSource& source : plan.sources) inputs.push_back(source.path.string());
  return inputs;
}

void WriteDatasetIndex(const ImportPlan& plan, const configs::ImportConfig& config,
                       const ImportState& state, std::vector<ShardEntry> shards,
                       const fs::path& directory) {
  const Tokenizer tokenizer = Tokenizer::Load(directory / kTokenizerFile);
  Index index;
  index.vocab_size = tokenizer.vocab_size();
  index.tokenizer_digest = tokenizer.digest();
  index.template_digest = Tokenizer::template_digest();
  index.shards = std::move(shards);
  int64_t interactions = 0;
  for (const ShardEntry& shard : index.shards) interactions += shard.interactions;
  AddVersion(&index, "import", interactions);
  index.provenance.import_digest = plan.digest;
  index.provenance.inputs = InputsOf(plan);
  index.provenance.choices = {config.dedup, config.near_threshold, config.validation_fraction,
                              config.test_fraction, config.seed};
  index.provenance.key_check = KeyCheck(ReadUserKey(directory, config.user_key));
  index.provenance.split_rule = state.split.rule;
  index.provenance.created_micros = core::WallMicroseconds();
  index.provenance.counts = state.counts;
  index.provenance.counts["records quarantined"] = state.quarantined;
  index.provenance.counts["text bytes"] = state.text_bytes;
  WriteIndex(directory, index);
}

// The first pass, or what an interrupted import left of it.
ImportState FirstPassIn(BuildDirectory* build, const ImportPlan& plan,
                        const configs::ImportConfig& config, const AppendBase* base) {
  if (std::optional<ImportState> state = ReadImportState(build->path())) {
    core::Log() << "going on with an import that was interrupted after reading its inputs";
    return std::move(*state);
  }
  build->Clear();
  if (base != nullptr) RemoveUnnamedShards(base->dataset().directory(), base->index());
  return RunFirstPass(plan, config, base, build->path());
}

// Both passes, or what an interrupted import left of them to do.
ImportState Build(const ImportPlan& plan, const configs::ImportConfig& config,
                  const fs::path& out) {
  BuildDirectory build(out, plan.digest);
  ImportState state = FirstPassIn(&build, plan, config, nullptr);
  if (!fs::exists(build.path() / kIndexFile)) {  // the last thing written: else only to commit
    const ShardTarget target = {build.path(), ReadUserKey(build.path(), config.user_key), {}};
    WriteDatasetIndex(plan, config, state, WriteShards(config, state, target, build.path()),
                      build.path());
  }
  core::FaultPoint("import.before_commit");
  RemoveImportState(build.path());
  build.Commit();
  return state;
}

ImportState BuildVersion(const ImportPlan& plan, const configs::ImportConfig& config,
                         AppendBase* base, int64_t* added) {
  const fs::path& out = base->dataset().directory();
  BuildDirectory build(out / kAppendDirectory, base->WorkDigest(plan.digest));
  ImportState state = FirstPassIn(&build, plan, config, base);
  const ShardTarget target = {out, base->key(), base->index().shards};
  *added = base->Commit(build.path(), {plan.digest, InputsOf(plan), 0}, state,
                        WriteShards(config, state, target, build.path()));
  return state;
}

void FillReport(const Index& index, ImportReport* report) {
  for (const ShardEntry& shard : index.shards) {
    SplitReport& split = shard.split == "train"        ? report->train
                         : shard.split == "validation" ? report->validation
                                                       : report->test;
    split.interactions += shard.interactions;
    split.tokens += shard.tokens;
  }
  report->split_rule = index.provenance.split_rule;
  report->vocab_size = index.vocab_size;
  report->content_digest = index.content_digest;
  report->version = static_cast<int>(index.history.size());
}

void FillReport(const ImportState& state, ImportReport* report) {
  report->records = state.records;
  report->quarantined = state.quarantined;
  report->counts = state.counts;
  report->text_bytes = state.text_bytes;
}

// Under the lock of OUT.
void Append(const configs::ImportConfig& asked, const fs::path& out, ImportReport* report) {
  ReadIndex(out);  // refuses what is no data set under its own name
  const DatasetLock lock(out);
  AppendBase base(out, asked.user_key);
  const configs::ImportConfig config = base.Resolve(asked);
  const ImportPlan plan = PlanImport(config, {out});
  report->already_done = base.Holds(plan.digest);
  if (!report->already_done) FillReport(BuildVersion(plan, config, &base, &report->added), report);
  RemoveLeftovers(out, base.index());
}

}  // namespace

ImportReport Import(const configs::ImportConfig& config) {
  const double start = core::MonotonicSeconds();
  fs::path out = fs::absolute(config.out).lexically_normal();
  if (!out.has_filename()) out = out.parent_path();
  ImportReport report;
  if (config.append) {
    Append(config, out, &report);
  } else {
    const ImportPlan plan = PlanImport(config, {out});
    report.already_done = AlreadyDone(out, plan.digest);
    if (!report.already_done) FillReport(Build(plan, config, out), &report);
  }
  const Index index = ReadIndex(out);
  FillReport(index, &report);
  if (!config.append && !report.already_done) report.added = index.history.back().interactions;
  report.seconds = core::MonotonicSeconds() - start;
  return report;
}

}  // namespace moat::data
