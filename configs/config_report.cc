// Explaining and comparing flags.
#include "configs/config_report.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "configs/commands.h"
#include "configs/flag_registry.h"
#include "configs/flagfile.h"
#include "core/error.h"
#include "core/nearest.h"

namespace moat::configs {
namespace {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

std::string Dump(const ordered_json& json) {
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

std::string FileOf(const std::string& word, const std::string& run_root) {
  std::error_code ignored;
  for (const fs::path& folder : {fs::path(word), fs::path(run_root) / word}) {
    if (fs::is_regular_file(folder / "run.flags", ignored)) return folder / "run.flags";
  }
  if (fs::exists(word, ignored)) return word;
  std::string nearest = core::NearestPath(word, run_root).filename().string();
  if (nearest.empty() || fs::path(word).has_extension()) nearest = NearestFlagfile(word);
  throw core::ConfigError(
      word + " is no flagfile, and there is no run " + word + " in " + run_root +
      (nearest.empty() ? "; moat runs lists the runs" : "; did you mean " + nearest + "?"));
}

// Without its dashes, and one that launching knows.
std::string Checked(const std::string& flag) {
  std::string name = flag.starts_with("--") ? flag.substr(2) : flag;
  const std::vector<std::string> known = FlagNamesOf(kLaunch);
  for (const std::string& one : known) {
    if (one == name) return name;
  }
  const std::string nearest = core::NearestName(name, known);
  throw core::ConfigError(
      "--explain=" + flag + ": moat launch has no such flag" +
      (nearest.empty() ? "; moat launch --help lists them" : "; did you mean " + nearest + "?"));
}

}  // namespace

CommandLine ConfigOf(const std::vector<std::string>& words, const std::string& run_root) {
  std::vector<std::string> arguments;
  for (const std::string& word : words) {
    const bool is_flag = word.starts_with("-");
    arguments.push_back(is_flag ? word : "--flagfile=" + FileOf(word, run_root));
  }
  return CommandLine::Parse("launch", arguments);
}

std::string ExplainText(const CommandLine& line, const std::string& flag) {
  const std::string name = Checked(flag);
  std::string text = "--" + name + "=" + line.value(name) + "\n";
  std::string overrode;
  for (const FlagSetting& setting : line.settings(name)) {
    if (setting.counts) {
      text += "  set by      " + setting.origin + ": " + setting.value + "\n";
    } else {  // the newest first: what would hold without it
      overrode.insert(0, "  instead of  " + setting.origin + ": " + setting.value + "\n");
    }
  }
  return text + overrode;
}

std::string ExplainJson(const CommandLine& line, const std::string& flag) {
  const std::string name = Checked(flag);
  ordered_json json = {{"flag", name},
                       {"value", line.value(name)},
                       {"origin", line.origin(name)},
                       {"values", line.values(name)},
                       {"overrode", ordered_json::array()}};
  for (const FlagSetting& setting : line.settings(name)) {
    if (setting.counts) continue;
    json["overrode"].push_back({{"value", setting.value}, {"origin", setting.origin}});
  }
  return Dump(json);
}

std::vector<FlagDifference> Differences(const CommandLine& a, const CommandLine& b) {
  std::vector<FlagDifference> differences;
  for (const FlagInfo& flag : FlagsOf("train")) {
    if (a.values(flag.name) == b.values(flag.name)) continue;
    differences.push_back({flag.name, a.value(flag.name), a.origin(flag.name), b.value(flag.name),
                           b.origin(flag.name)});
  }
  return differences;
}

std::string ToText(const std::vector<FlagDifference>& differences) {
  std::string text;
  for (const FlagDifference& one : differences) {
    text += "--" + one.flag + "\n  < " + one.value_a + "  # " + one.origin_a + "\n  > " +
            one.value_b + "  # " + one.origin_b + "\n";
  }
  return text;
}

std::string ToJson(const std::vector<FlagDifference>& differences) {
  ordered_json array = ordered_json::array();
  for (const FlagDifference& one : differences) {
    array.push_back({{"flag", one.flag},
                     {"a", {{"value", one.value_a}, {"origin", one.origin_a}}},
                     {"b", {{"value", one.value_b}, {"origin", one.origin_b}}}});
  }
  return Dump(array);
}

}  // namespace moat::configs
