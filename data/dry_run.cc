// The readers of an import, into a sink that only looks.
#include "data/dry_run.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "core/units.h"
#include "data/hygiene.h"
#include "data/import_plan.h"

namespace moat::data {
namespace {

using nlohmann::json;

constexpr size_t kAround = 30;  // bytes of text on each side of an example
constexpr size_t kShown = 80;   // bytes of a match
constexpr size_t kQuarantineExamples = 5;

// A stretch of text on one line: control characters become spaces, cut characters are left out.
std::string OneLine(std::string_view text) {
  const auto continues = [](char c) { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; };
  while (!text.empty() && continues(text.front())) text.remove_prefix(1);
  std::string line(text);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 32) c = ' ';
  }
  return line;
}

class Looker : public ImportSink {
 public:
  explicit Looker(const configs::HygieneConfig& config) : hygiene_(config) {}

  void Add(Interaction interaction) override {
    ++report_.read;
    const bool keep = hygiene_.Apply(&interaction, [&](const Redacted& redacted) {
      size_t& shown = shown_[std::string(redacted.rule)];
      if (shown++ >= DryRunReport::kExamplesPerRule) return;
      const std::string_view before = redacted.before;
      const std::string_view after = redacted.after;
      report_.examples.push_back(
          {interaction.id, std::string(redacted.rule),
           OneLine(before.substr(before.size() - std::min(before.size(), kAround))),
           OneLine(redacted.match.substr(0, kShown)), OneLine(redacted.replacement),
           OneLine(after.substr(0, kAround))});
    });
    if (!keep) return;
    ++report_.kept;
    report_.text_bytes += interaction.TextBytes();
  }

  void Quarantine(const std::string& file, int64_t line, const std::string& reason,
                  const std::string& /*text*/) override {
    if (report_.quarantined++ < static_cast<int64_t>(kQuarantineExamples)) {
      report_.quarantine_examples.push_back(file + ":" + std::to_string(line) + ": " + reason);
    }
  }

  void Count(const std::string& what) override { ++report_.counts[what]; }

  DryRunReport Report() {
    report_.counts.merge(hygiene_.Counts());
    return report_;
  }

 private:
  Hygiene hygiene_;
  DryRunReport report_;
  std::map<std::string, size_t> shown_;  // by rule
};

}  // namespace

DryRunReport DryRun(const configs::ImportConfig& config) {
  const ImportPlan plan = PlanImport(config, {});
  Looker looker(config.hygiene);
  for (const ImportSource& source : plan.sources) ReadSource(source, config, &looker);
  return looker.Report();
}

std::string ToText(const DryRunReport& report) {
  std::ostringstream out;
  out << "dry run: nothing is written\n"
      << report.read << " interactions read, " << report.kept << " would be kept, "
      << core::Format(core::Bytes(report.text_bytes)) << " of text\n";
  for (const auto& [what, count] : report.counts) out << count << " " << what << "\n";
  if (report.quarantined > 0) out << report.quarantined << " records would be quarantined\n";
  for (const std::string& example : report.quarantine_examples) out << "  " << example << "\n";
  if (!report.examples.empty()) out << "the first replacements of each rule:\n";
  for (const RedactionExample& example : report.examples) {
    out << "  " << example.rule << ", in " << example.interaction << ": ..." << example.before
        << "[" << example.match << " -> " << example.replacement << "]" << example.after << "...\n";
  }
  return out.str();
}

std::string ToJson(const DryRunReport& report) {
  json examples = json::array();
  for (const RedactionExample& example : report.examples) {
    examples.push_back({{"interaction", example.interaction},
                        {"rule", example.rule},
                        {"before", example.before},
                        {"match", example.match},
                        {"replacement", example.replacement},
                        {"after", example.after}});
  }
  const json value = {{"read", report.read},
                      {"kept", report.kept},
                      {"text_bytes", report.text_bytes},
                      {"quarantined", report.quarantined},
                      {"quarantine_examples", report.quarantine_examples},
                      {"counts", report.counts},
                      {"redactions", examples}};
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace moat::data
