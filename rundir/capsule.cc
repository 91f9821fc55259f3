// capsule.json.
#include "rundir/capsule.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"

namespace moat::rundir {

CapsuleEntry DescribeBuild() {
  CapsuleEntry entry;
  entry.time = core::FormatUtc(core::WallMicroseconds());
  entry.version = MOAT_VERSION;
  entry.build_type = MOAT_BUILD_TYPE;
  entry.cuda = MOAT_BUILT_WITH_CUDA;
  entry.compiler = std::string("gcc ") + __VERSION__;
  entry.host = core::HostName();
  entry.cores = core::Cores();
  entry.cpu = core::CpuModel();
  entry.instruction_set = core::InstructionSet();
  return entry;
}

void AppendCapsule(const RunLayout& layout, const CapsuleEntry& entry) {
  std::vector<CapsuleEntry> entries = ReadCapsule(layout);
  const auto same = std::find_if(entries.begin(), entries.end(),
                                 [&](const CapsuleEntry& e) { return e.attempt == entry.attempt; });
  if (same == entries.end()) {
    entries.push_back(entry);
  } else {
    same->libraries.insert(entry.libraries.begin(), entry.libraries.end());
    same->data.insert(entry.data.begin(), entry.data.end());
  }
  auto array = nlohmann::ordered_json::array();
  for (const CapsuleEntry& e : entries) {
    array.push_back({{"attempt", e.attempt},
                     {"time", e.time},
                     {"version", e.version},
                     {"git", e.git},
                     {"build_type", e.build_type},
                     {"cuda", e.cuda},
                     {"compiler", e.compiler},
                     {"host", e.host},
                     {"cores", e.cores},
                     {"cpu", e.cpu},
                     {"instruction_set", e.instruction_set},
                     {"libraries", e.libraries},
                     {"data", e.data}});
  }
  core::WriteFileAtomically(layout.capsule(), array.dump(2) + "\n");
}

std::vector<CapsuleEntry> ReadCapsule(const RunLayout& layout) {
  std::vector<CapsuleEntry> entries;
  if (!std::filesystem::exists(layout.capsule())) return entries;
  try {
    for (const auto& json : nlohmann::json::parse(core::ReadWholeFile(layout.capsule()))) {
      entries.push_back({json.at("attempt"), json.at("time"), json.value("version", ""),
                         json.at("git"), json.at("build_type"), json.value("cuda", ""),
                         json.at("compiler"), json.at("host"), json.at("cores"),
                         json.value("cpu", ""), json.value("instruction_set", ""),
                         json.at("libraries"), json.at("data")});
    }
  } catch (const nlohmann::json::exception& error) {
    throw core::DataError(layout.capsule().string() + " is not a capsule: " + error.what() +
                          "; move it away: a run goes on from its checkpoints alone");
  }
  return entries;
}

}  // namespace moat::rundir
