// Planning a sweep.
#include "launch/sweep_plan.h"

#include <algorithm>
#include <cstdio>
#include <set>
#include <sstream>

#include "configs/flag_registry.h"
#include "core/comma_list.h"
#include "core/error.h"
#include "core/nearest.h"

namespace moat::launch {
namespace {

constexpr size_t kMostRuns = 100000;

// What a sweep sets by itself, or what would make one directory of several runs.
const std::set<std::string> kOwn = {"run", "run_root", "seed", "resume", "end_time"};

std::vector<std::string> Split(const std::string& text, char separator) {
  std::vector<std::string> parts = {""};
  for (const char c : text) {
    if (c == separator) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

const configs::FlagInfo& VariedFlag(const std::string& name, const std::string& text) {
  const configs::FlagInfo* flag = configs::FindFlag(name);
  if (flag != nullptr && (flag->commands & configs::kTrain) && kOwn.count(name) == 0) return *flag;
  if (flag != nullptr) {
    throw core::ConfigError("--vary=" + text + ": --" + name +
                            (kOwn.count(name) ? " is set by the sweep itself"
                                              : " is no flag of training, so nothing to compare"));
  }
  const std::string nearest = core::NearestName(name, configs::FlagNamesOf(configs::kTrain));
  throw core::ConfigError("--vary=" + text + ": there is no flag --" + name +
                          (nearest.empty() ? "" : "; did you mean --" + nearest + "?"));
}

std::string RunName(int cell, uint64_t seed) {
  char name[64];
  std::snprintf(name, sizeof name, "cell-%03d-seed-%llu", cell,
                static_cast<unsigned long long>(seed));
  return name;
}

std::vector<std::vector<std::string>> Product(const std::vector<Variation>& variations) {
  std::vector<std::vector<std::string>> cells = {{}};
  for (const Variation& variation : variations) {
    std::vector<std::vector<std::string>> longer;
    for (const auto& cell : cells) {
      for (const std::string& value : variation.values) {
        longer.push_back(cell);
        longer.back().push_back(value);
      }
    }
    if (longer.size() > kMostRuns) {
      throw core::ConfigError("--vary: more than " + std::to_string(kMostRuns) +
                              " cells; vary less at a time");
    }
    cells = std::move(longer);
  }
  return cells;
}

}  // namespace

Variation ParseVariation(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw core::ConfigError("--vary=" + text + ": expected FLAG=VALUE,VALUE, as lr=1e-4,3e-4");
  }
  Variation variation{text.substr(0, equals), {}};
  if (variation.flag.starts_with("--")) variation.flag.erase(0, 2);
  const configs::FlagInfo& flag = VariedFlag(variation.flag, text);
  for (const std::string& word : Split(text.substr(equals + 1), ',')) {
    if (word.empty() || word.find_first_of("\t\n\r") != std::string::npos) {
      throw core::ConfigError("--vary=" + text + ": an empty value, or one with a tab or line end");
    }
    const std::string value = configs::CanonicalValue(flag, word);
    if (std::count(variation.values.begin(), variation.values.end(), value) > 0) {
      throw core::ConfigError("--vary=" + text + ": " + value + " is there twice");
    }
    variation.values.push_back(value);
  }
  return variation;
}

SweepPlan PlanSweep(const std::vector<Variation>& variations, int seeds, uint64_t first_seed) {
  if (seeds < 1)
    throw core::ConfigError("--seeds=" + std::to_string(seeds) + ": expected 1 or more");
  SweepPlan plan;
  for (const Variation& variation : variations) {
    if (std::count(plan.flags.begin(), plan.flags.end(), variation.flag) > 0) {
      throw core::ConfigError("--vary: --" + variation.flag + " is varied twice; give its values " +
                              "in one --vary");
    }
    plan.flags.push_back(variation.flag);
  }
  const auto cells = Product(variations);
  if (cells.size() * static_cast<size_t>(seeds) > kMostRuns) {
    throw core::ConfigError(std::to_string(cells.size()) + " cells x " + std::to_string(seeds) +
                            " seeds: expected " + std::to_string(kMostRuns) + " runs at most");
  }
  for (size_t cell = 0; cell < cells.size(); ++cell) {
    for (int i = 0; i < seeds; ++i) {
      const uint64_t seed = first_seed + static_cast<uint64_t>(i);
      plan.runs.push_back({static_cast<int>(plan.runs.size()), static_cast<int>(cell), cells[cell],
                           seed, RunName(static_cast<int>(cell), seed)});
    }
  }
  return plan;
}

std::string CellText(const SweepPlan& plan, const SweepRun& run) {
  std::string text;
  for (size_t i = 0; i < plan.flags.size(); ++i) {
    text += (i > 0 ? " " : "") + plan.flags[i] + "=" + run.values[i];
  }
  return text;
}

std::string ToTsv(const SweepPlan& plan) {
  std::string text = "number\tcell";
  for (const std::string& flag : plan.flags) text += "\t" + flag;
  text += "\tseed\trun\n";
  for (const SweepRun& run : plan.runs) {
    text += std::to_string(run.number) + "\t" + std::to_string(run.cell);
    for (const std::string& value : run.values) text += "\t" + value;
    text += "\t" + std::to_string(run.seed) + "\t" + run.run + "\n";
  }
  return text;
}

SweepPlan SweepFromTsv(const std::string& text, const std::string& where) {
  std::istringstream lines(text);
  std::string line;
  std::getline(lines, line);
  const auto header = Split(line, '\t');
  SweepPlan plan;
  if (header.size() >= 4) plan.flags.assign(header.begin() + 2, header.end() - 2);
  for (int number = 0; std::getline(lines, line); ++number) {
    const auto words = Split(line, '\t');
    SweepRun run;
    const bool read = words.size() == header.size() && words.size() >= 4 &&
                      std::sscanf(words[0].c_str(), "%d", &run.number) == 1 &&
                      std::sscanf(words[1].c_str(), "%d", &run.cell) == 1 && run.number == number;
    if (!read) {
      throw core::DataError(where + ":" + std::to_string(number + 2) + ": expected run " +
                            std::to_string(number) + " of a sweep, found \"" + line + "\"");
    }
    run.values.assign(words.begin() + 2, words.end() - 2);
    run.seed = std::strtoull(words[words.size() - 2].c_str(), nullptr, 10);
    run.run = words.back();
    plan.runs.push_back(std::move(run));
  }
  if (ToTsv(plan) != text) {
    throw core::DataError(where + ": expected a whole sweep.tsv, found one that was cut or edited");
  }
  return plan;
}

std::filesystem::path SweepFile(const rundir::RunLayout& sweep) { return sweep.root / "sweep.tsv"; }

std::optional<int> NumberOf(const std::string& text, const std::string& run) {
  const size_t end = text.find("\t" + run + "\n");
  if (end == std::string::npos) return std::nullopt;
  const size_t begin = text.rfind('\n', end);
  return begin == std::string::npos ? std::nullopt : std::optional(std::atoi(&text[begin + 1]));
}

std::string LineDifferences(const std::string& before, const std::string& now) {
  const auto a = Split(before, '\n'), b = Split(now, '\n');
  const std::set<std::string> in_a(a.begin(), a.end()), in_b(b.begin(), b.end());
  std::string text;
  for (const std::string& line : a) text += in_b.count(line) ? "" : "\n- " + line;
  for (const std::string& line : b) text += in_a.count(line) ? "" : "\n+ " + line;
  return text;
}

}  // namespace moat::launch
