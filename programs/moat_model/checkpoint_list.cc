// moat checkpoint list: a table.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "checkpoint/manifest/inventory.h"
#include "core/clock.h"
#include "core/units.h"
#include "programs/moat_model/checkpoint_commands.h"
#include "programs/moat_model/checkpoint_place.h"

namespace moat::programs {
namespace {

using checkpoint::Inventory;
using checkpoint::ListedCheckpoint;
using nlohmann::ordered_json;

// The grid that wrote it, where the manifest says; null: it does not.
ordered_json GridOf(const ListedCheckpoint& one) {
  if (!one.manifest || !one.manifest->position.values.contains("grid")) return nullptr;
  return ordered_json::parse(one.manifest->position.values.at("grid"));
}

int64_t FilesOf(const ListedCheckpoint& one) {
  return one.manifest ? static_cast<int64_t>(one.manifest->files.size()) : 0;
}

ordered_json ToJson(const std::string& root, const Inventory& list) {
  ordered_json json = {
      {"root", root}, {"checkpoints", ordered_json::array()}, {"leftovers", ordered_json::array()}};
  for (const ListedCheckpoint& one : list.checkpoints) {
    json["checkpoints"].push_back({{"name", one.directory.path.filename().string()},
                                   {"step", one.directory.step},
                                   {"generation", one.directory.generation},
                                   {"written", core::FormatUtc(one.written_us)},
                                   {"bytes", one.bytes},
                                   {"files", FilesOf(one)},
                                   {"grid", GridOf(one)},
                                   {"complete", one.complete()},
                                   {"problem", one.problem},
                                   {"newest", one.newest},
                                   {"best", one.best},
                                   {"abandoned", one.directory.abandoned}});
  }
  for (const checkpoint::Leftover& left : list.leftovers) {
    json["leftovers"].push_back({{"name", left.path.filename().string()}, {"bytes", left.bytes}});
  }
  return json;
}

std::string MarksOf(const ListedCheckpoint& one) {
  std::string marks;
  const auto add = [&](bool yes, const std::string& mark) {
    if (yes) marks += (marks.empty() ? "" : ", ") + mark;
  };
  add(one.newest, "newest");
  add(one.best, "best");
  add(one.directory.abandoned, "abandoned line");
  add(!one.complete(), "not complete: " + one.problem);
  return marks;
}

void PrintRow(const std::string& name, const std::string& step, const std::string& age,
              const std::string& bytes, const std::string& grid, const std::string& marks) {
  char text[160];
  std::snprintf(text, sizeof text, "%-20s %10s %8s %10s %8s  ", name.c_str(), step.c_str(),
                age.c_str(), bytes.c_str(), grid.c_str());
  std::cout << text << marks << "\n";
}

void PrintTable(const std::string& root, const Inventory& list) {
  if (list.checkpoints.empty()) {
    std::cout << "no checkpoints in " << root << "\n";
  } else {
    PrintRow("CHECKPOINT", "STEP", "AGE", "SIZE", "WRITERS", "");
  }
  const int64_t now = core::WallMicroseconds();
  for (const ListedCheckpoint& one : list.checkpoints) {
    const double age = static_cast<double>(std::max<int64_t>(0, now - one.written_us)) / 1e6;
    const ordered_json grid = GridOf(one);
    PrintRow(one.directory.path.filename(), std::to_string(one.directory.step),
             core::FormatSeconds(age), core::Format(core::Bytes(one.bytes)),
             grid.is_string() ? grid.get<std::string>() : std::to_string(FilesOf(one)),
             MarksOf(one));
  }
  for (const checkpoint::Leftover& left : list.leftovers) {
    PrintRow(left.path.filename(), "", "", core::Format(core::Bytes(left.bytes)), "",
             "being written, or left by what was cut short; not a checkpoint");
  }
}

}  // namespace

int CheckpointList(const configs::CommandLine& line) {
  const std::filesystem::path root =
      CheckpointRootOf(line.value("run_root"), line.positional().front());
  const checkpoint::Inventory list = checkpoint::TakeInventory(root);
  if (line.Bool("json")) {
    std::cout << ToJson(root, list).dump() << "\n";
  } else {
    PrintTable(root, list);
  }
  return 0;
}

}  // namespace moat::programs
