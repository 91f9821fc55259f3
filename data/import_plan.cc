// Looking at the inputs of an import.
#include "data/import_plan.h"

#include <algorithm>
#include <sstream>

#include "core/digest.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "data/formats/byte_source.h"
#include "data/formats/input_paths.h"
#include "data/formats/record_file.h"
#include "data/formats/token_file.h"
#include "data/user_key.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

// Raised when the same inputs give other interactions than before.
constexpr int kImportRules = 3;

ImportSource LookAtTree(const fs::path& path, const std::vector<fs::path>& excluded) {
  ImportSource source;
  source.kind = ImportSource::Kind::kTree;
  source.path = path;
  source.git = InspectGit(path);
  source.files = ListTree(path, source.git.inside, excluded);
  if (source.files.empty() && source.git.inside) {
    source.files = ListTree(path, false, excluded);  // a folder that its repository ignores
  }
  std::string first;
  int64_t records = 0;
  for (const TreeFile& file : source.files) {
    source.bytes += file.bytes;
    if (!file.path.ends_with(".jsonl")) continue;
    if (records++ == 0) first = file.path;
  }
  if (records > 0) {
    // In a repository they are among its sources, elsewhere perhaps what was meant.
    core::Log(source.git.inside ? core::Log::kInfo : core::Log::kWarning)
        << path.string() << ": .jsonl files in it (" << records << ", the first is " << first
        << ") are read as text; name them with --in to read them as records";
  }
  return source;
}

ImportSource LookAtFile(const fs::path& path, const configs::ImportConfig& config) {
  ImportSource source;
  source.path = path;
  source.file = formats::KindOf(path.string(), config.records.format);
  if (formats::HoldsRecords(source.file)) source.kind = ImportSource::Kind::kRecords;
  if (source.file == formats::FileKind::kTokens && config.tokenizer.empty()) {
    throw core::ConfigError("--in=" + path.string() +
                            " holds tokens: name the tokenizer that made them with --tokenizer");
  }
  if (path == formats::kStandardInput) return source;
  if (!fs::is_regular_file(path)) {
    throw core::ConfigError("--in=" + path.string() + ": expected a file or a directory");
  }
  source.path = fs::canonical(path);
  source.bytes = static_cast<int64_t>(fs::file_size(path));
  return source;
}

void LookAt(const fs::path& path, const configs::ImportConfig& config,
            const std::vector<fs::path>& excluded, std::vector<ImportSource>* sources) {
  if (!fs::is_directory(path)) {
    sources->push_back(LookAtFile(path, config));
    return;
  }
  const fs::path directory = fs::canonical(path);
  const auto files = formats::RecordFilesOf(directory, config.records.format, excluded);
  if (!files) {
    sources->push_back(LookAtTree(directory, excluded));
    return;
  }
  for (const fs::path& file : *files) sources->push_back(LookAtFile(file, config));
}

// What of the flags decides how records are read.
void DigestRecordFlags(const configs::RecordConfig& records, std::ostream& text) {
  for (const std::string* name :
       {&records.format, &records.field_messages, &records.field_prompt, &records.field_completion,
        &records.field_system, &records.field_text, &records.field_id, &records.field_user,
        &records.field_time, &records.field_request, &records.field_weight, &records.field_outcome,
        &records.weight_on}) {
    text << *name << '\n';
  }
  for (const auto& [label, weight] : records.outcomes) text << label << '=' << weight << '\n';
}

std::string DigestOf(const configs::ImportConfig& config,
                     const std::vector<ImportSource>& sources) {
  std::ostringstream text;
  text.precision(17);
  text << kImportRules << ' ' << config.vocab_size << ' ' << config.validation_fraction << ' '
       << config.max_bad_fraction << ' ' << config.shard_tokens << ' ' << config.max_file_bytes
       << ' ' << config.seed << ' ' << config.history << '\n'
       << config.dedup << ' ' << config.near_threshold << ' ' << config.split << ' '
       << config.test_fraction << '\n'
       << config.user_key << '\n'
       << config.hygiene.min_text_bytes << ' ' << config.hygiene.max_text_bytes << ' '
       << config.hygiene.max_repetition << '\n';
  DigestRecordFlags(config.records, text);
  if (!config.hygiene.redact.empty()) {
    text << core::Hex(core::Sha256Of(core::ReadWholeFile(config.hygiene.redact))) << '\n';
  }
  if (!config.user_key.empty()) {  // with another key, sealed shards would not match later ones
    text << core::Hex(core::Sha256Of(ReadUserKey({}, config.user_key))) << '\n';
  }
  if (!config.tokenizer.empty()) {
    text << core::Hex(core::Sha256Of(core::ReadWholeFile(config.tokenizer))) << '\n';
  }
  for (const ImportSource& source : sources) {
    text << source.path << ' ' << source.bytes << ' ' << source.git.head << '\n';
    if (source.path == formats::kStandardInput) {
      text << core::RandomKey(32) << '\n';
    } else if (source.kind != ImportSource::Kind::kTree) {
      text << fs::last_write_time(source.path).time_since_epoch().count() << '\n';
    }
    for (const TreeFile& file : source.files) {
      text << file.path << '\0' << file.bytes << ' ' << file.modified_ns << '\n';
    }
  }
  return core::Hex(core::Sha256Of(text.str()));
}

void ReadTree(const ImportSource& source, const configs::ImportConfig& config, ImportSink* sink) {
  std::vector<TreeFile> files = source.files;
  if (config.history && !source.git.head.empty()) {
    const std::set<std::string> given =
        ImportGitHistory(source.path, source.files, config.max_file_bytes, sink);
    std::erase_if(files, [&](const TreeFile& file) { return given.contains(file.path); });
  }
  ImportTree(source.path, files, config.max_file_bytes, sink);
}

}  // namespace

ImportPlan PlanImport(const configs::ImportConfig& config, const std::vector<fs::path>& excluded) {
  if (!config.tokenizer.empty() && !fs::is_regular_file(config.tokenizer)) {
    throw core::ConfigError("--tokenizer=" + config.tokenizer + ": there is no such file");
  }
  if (!config.hygiene.redact.empty() && !fs::is_regular_file(config.hygiene.redact)) {
    throw core::ConfigError("--redact=" + config.hygiene.redact + ": there is no such file");
  }
  ImportPlan plan;
  for (const std::string& in : config.in) {
    for (const std::string& path : formats::ExpandGlob(in)) {
      LookAt(path, config, excluded, &plan.sources);
    }
  }
  if (std::count(config.in.begin(), config.in.end(), formats::kStandardInput) > 1) {
    throw core::ConfigError("--in=- is there more than once: standard input can be read once");
  }
  plan.digest = DigestOf(config, plan.sources);
  return plan;
}

void ReadSource(const ImportSource& source, const configs::ImportConfig& config, ImportSink* sink) {
  switch (source.kind) {
    case ImportSource::Kind::kRecords:
      if (source.file == formats::FileKind::kTokens) {
        return formats::ImportTokens(source.path, Tokenizer::Load(config.tokenizer), sink);
      }
      return formats::ImportRecords(source.path.string(), source.file, config.records,
                                    core::ThreadsOf(config.threads), sink);
    case ImportSource::Kind::kTextFile:
      return ImportTextFile(source.path, config.max_file_bytes, sink);
    case ImportSource::Kind::kTree:
      return ReadTree(source, config, sink);
  }
}

}  // namespace moat::data
