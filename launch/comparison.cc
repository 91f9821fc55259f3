// Comparing cells.
#include "launch/comparison.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/durable_file.h"
#include "core/error.h"
#include "launch/run_choice.h"
#include "rundir/layout.h"
#include "rundir/metrics.h"
#include "rundir/outcome.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using Row = std::vector<std::string>;

void Add(ComparedCell* cell, const std::string& run_root, const std::string& run, uint64_t seed) {
  if (const auto loss = FinalLoss(run_root, run)) {
    cell->losses[seed] = *loss;
  } else {
    cell->missing.push_back(run);
  }
}

Comparison OfSweep(const fs::path& file) {
  const SweepPlan plan = SweepFromTsv(core::ReadWholeFile(file), file.string());
  Comparison comparison{plan.flags, {}};
  for (const SweepRun& run : plan.runs) {
    if (static_cast<size_t>(run.cell) >= comparison.cells.size()) {
      comparison.cells.push_back({std::to_string(run.cell), run.values, {}, {}, {}, {}, false});
    }
    Add(&comparison.cells.back(), file.parent_path().string(), run.run, run.seed);
  }
  return comparison;
}

std::string Format(const char* format, std::optional<double> value) {
  if (!value) return "";
  char text[64];
  std::snprintf(text, sizeof text, format, *value);
  return text;
}

Json Number(std::optional<double> value) { return value ? Json(*value) : Json(nullptr); }

std::string CsvField(const std::string& text) {
  if (text.find_first_of(",\"\n\r") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

// A header and a row a cell. `number` formats the losses, `plus` the differences.
std::vector<Row> Table(const Comparison& comparison, const char* number, const char* plus) {
  Row header = {"cell"};
  header.insert(header.end(), comparison.flags.begin(), comparison.flags.end());
  for (const char* name : {"n", "missing", "mean", "sd", "difference", "difference_sd", "best"}) {
    header.push_back(name);
  }
  std::vector<Row> rows = {header};
  for (const ComparedCell& cell : comparison.cells) {
    Row row = {cell.name};
    row.insert(row.end(), cell.values.begin(), cell.values.end());
    for (const std::string& text :
         {std::to_string(cell.loss.n), std::to_string(cell.missing.size()),
          Format(number, cell.loss.mean), Format(number, cell.loss.sd),
          Format(plus, cell.difference.mean), Format(number, cell.difference.sd),
          std::string(cell.best ? "*" : "")}) {
      row.push_back(text);
    }
    rows.push_back(row);
  }
  return rows;
}

}  // namespace

Spread SpreadOf(const std::vector<double>& values) {
  Spread spread{static_cast<int>(values.size()), std::nullopt, std::nullopt};
  if (values.empty()) return spread;
  double sum = 0, squares = 0;
  for (const double value : values) sum += value;
  const double mean = sum / static_cast<double>(values.size());
  for (const double value : values) squares += (value - mean) * (value - mean);
  spread.mean = mean;
  if (values.size() > 1) spread.sd = std::sqrt(squares / static_cast<double>(values.size() - 1));
  return spread;
}

void Conclude(Comparison* comparison) {
  ComparedCell* best = nullptr;
  for (ComparedCell& cell : comparison->cells) {
    const auto& first = comparison->cells.front().losses;
    std::vector<double> losses, differences;
    for (const auto& [seed, loss] : cell.losses) {
      losses.push_back(loss);
      if (const auto pair = first.find(seed); pair != first.end()) {
        differences.push_back(loss - pair->second);
      }
    }
    cell.loss = SpreadOf(losses);
    cell.difference = SpreadOf(differences);
    cell.best = false;
    // Not a number is never the best.
    if (cell.loss.mean && !std::isnan(*cell.loss.mean) &&
        (best == nullptr || *cell.loss.mean < *best->loss.mean)) {
      best = &cell;
    }
  }
  if (best != nullptr) best->best = true;
}

std::optional<double> FinalLoss(const std::string& run_root, const std::string& run) {
  const rundir::RunLayout layout = rundir::LayoutOf(run_root, run);
  const auto outcome = rundir::ConcludeOutcome(layout);
  if (!outcome || outcome->state != rundir::RunState::kDone) return std::nullopt;
  const rundir::Metrics metrics = rundir::ReadMetrics(layout.metrics());
  if (metrics.evaluations.empty()) return std::nullopt;
  return metrics.evaluations.rbegin()->second.val_loss;
}

Comparison Compare(const std::string& run_root, const std::vector<std::string>& names) {
  Comparison comparison;
  for (const std::string& name : names) {
    const fs::path file = SweepFile(rundir::LayoutOf(run_root, name));
    if (fs::exists(file)) {
      if (names.size() > 1) {
        throw core::ConfigError(name + " is a sweep: compare one sweep, or several runs");
      }
      comparison = OfSweep(file);
      break;
    }
    CheckRunExists(run_root, name);
    comparison.cells.push_back({name, {}, {}, {}, {}, {}, false});
    Add(&comparison.cells.back(), run_root, name, 0);
  }
  Conclude(&comparison);
  return comparison;
}

std::string ToText(const Comparison& comparison) {
  const std::vector<Row> rows = Table(comparison, "%.4f", "%+.4f");
  std::vector<size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string ToJson(const Comparison& comparison) {
  Json cells = Json::array();
  for (const ComparedCell& cell : comparison.cells) {
    Json values = Json::object(), losses = Json::object();
    for (size_t i = 0; i < comparison.flags.size(); ++i) {
      values[comparison.flags[i]] = cell.values[i];
    }
    for (const auto& [seed, loss] : cell.losses) losses[std::to_string(seed)] = loss;
    cells.push_back({{"cell", cell.name},
                     {"values", values},
                     {"n", cell.loss.n},
                     {"missing", cell.missing},
                     {"losses", losses},
                     {"mean", Number(cell.loss.mean)},
                     {"sd", Number(cell.loss.sd)},
                     {"difference", Number(cell.difference.mean)},
                     {"difference_sd", Number(cell.difference.sd)},
                     {"best", cell.best}});
  }
  return Json{{"flags", comparison.flags}, {"cells", cells}}.dump(2) + "\n";
}

std::string ToCsv(const Comparison& comparison) {
  std::string text;
  for (const Row& row : Table(comparison, "%.17g", "%.17g")) {
    for (size_t i = 0; i < row.size(); ++i) text += (i > 0 ? "," : "") + CsvField(row[i]);
    text += "\n";
  }
  return text;
}

}  // namespace moat::launch
