// Looking at the inputs of an import.
#include "data/import_plan.h"

#include <sstream>

#include "core/digest.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"
#include "data/chat_records.h"

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
  int64_t records = 0;
  for (const TreeFile& file : source.files) {
    source.bytes += file.bytes;
    if (file.path.ends_with(".jsonl")) ++records;
  }
  if (records > 0) {
    core::Log(core::Log::kWarning)
        << path.string() << " holds " << records
        << " .jsonl files, which are read as text; name one with --in to read it as chats";
  }
  return source;
}

ImportSource LookAt(const fs::path& path, const std::vector<fs::path>& excluded) {
  if (!fs::exists(path)) {
    throw core::ConfigError("--in=" + path.string() + ": there is no such file or directory");
  }
  if (fs::is_directory(path)) return LookAtTree(fs::canonical(path), excluded);
  if (!fs::is_regular_file(path)) {
    throw core::ConfigError("--in=" + path.string() + ": expected a file or a directory");
  }
  ImportSource source;
  source.path = fs::canonical(path);
  source.bytes = static_cast<int64_t>(fs::file_size(path));
  if (path.extension() == ".jsonl") source.kind = ImportSource::Kind::kChatRecords;
  return source;
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
  if (!config.hygiene.redact.empty()) {
    text << core::Hex(core::Sha256Of(core::ReadWholeFile(config.hygiene.redact))) << '\n';
  }
  if (!config.tokenizer.empty()) {
    text << core::Hex(core::Sha256Of(core::ReadWholeFile(config.tokenizer))) << '\n';
  }
  for (const ImportSource& source : sources) {
    text << source.path << ' ' << source.bytes << ' ' << source.git.head << '\n';
    if (source.kind != ImportSource::Kind::kTree) {
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
  for (const std::string& path : config.in) plan.sources.push_back(LookAt(path, excluded));
  plan.digest = DigestOf(config, plan.sources);
  return plan;
}

void ReadSource(const ImportSource& source, const configs::ImportConfig& config, ImportSink* sink) {
  switch (source.kind) {
    case ImportSource::Kind::kChatRecords:
      return ImportChatRecords(source.path, sink);
    case ImportSource::Kind::kTextFile:
      return ImportTextFile(source.path, config.max_file_bytes, sink);
    case ImportSource::Kind::kTree:
      return ReadTree(source, config, sink);
  }
}

}  // namespace moat::data
