// abandoned.json: read, written, applied.
#include "checkpoint/manifest/line.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/crc32c.h"
#include "core/durable_file.h"
#include "core/error.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

uint32_t CrcOf(const json& names) {
  const std::string text = names.dump();
  return core::Crc32c(text.data(), text.size());
}

}  // namespace

std::set<std::string> ReadAbandoned(const fs::path& root) {
  const fs::path path = root / kAbandonedName;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return {};
  try {
    const json file = json::parse(core::ReadWholeFile(path));
    const json& names = file.at("abandoned");
    if (file.at("crc32c").get<uint32_t>() == CrcOf(names))
      return names.get<std::set<std::string>>();
  } catch (const json::exception&) {
    // as damaged as with a wrong CRC
  }
  throw core::StorageError(path.string() +
                           " is damaged, so it is not known which checkpoints the run turned its "
                           "back on; remove it and name the step to go on from with --resume=STEP");
}

namespace {

// `stays`: of each that is no ancestor.
template <typename Stays>
void AbandonOthers(const fs::path& root, const std::vector<CheckpointDirectory>& all,
                   const std::vector<std::string>& lineage, const Stays& stays) {
  std::set<std::string> abandoned;
  for (const CheckpointDirectory& found : all) {
    const std::string name = found.path.filename();
    const bool ancestor = std::find(lineage.begin(), lineage.end(), name) != lineage.end();
    if (!ancestor && !stays(found)) abandoned.insert(name);
  }
  if (abandoned == ReadAbandoned(root)) return;
  const json names = abandoned;
  core::WriteFileAtomically(root / kAbandonedName,
                            json{{"abandoned", names}, {"crc32c", CrcOf(names)}}.dump() + "\n");
}

}  // namespace

void GoOnFrom(const fs::path& root, const std::string& from,
              const std::vector<std::string>& lineage) {
  const std::vector<CheckpointDirectory> all = ListCheckpoints(root);
  const auto start = std::find_if(all.begin(), all.end(), [&](const CheckpointDirectory& found) {
    return found.path.filename() == from;
  });
  MOAT_CHECK(start != all.end(), "a run goes on from a checkpoint that is there");
  AbandonOthers(root, all, lineage, [&](const CheckpointDirectory& found) {
    const bool earlier = !start->abandoned && !found.abandoned && found.step < start->step;
    return found.path == start->path || earlier;
  });
}

void GoOnFromStep(const fs::path& root, int64_t step, const std::vector<std::string>& lineage) {
  AbandonOthers(root, ListCheckpoints(root), lineage, [&](const CheckpointDirectory& found) {
    return !found.abandoned && found.step <= step;
  });
}

std::vector<CheckpointDirectory> ListLine(const fs::path& root) {
  std::vector<CheckpointDirectory> line = ListCheckpoints(root);
  std::erase_if(line, [](const CheckpointDirectory& found) { return found.abandoned; });
  return line;
}

std::optional<CheckpointDirectory> FindStep(const fs::path& root, int64_t step) {
  std::optional<CheckpointDirectory> best;
  for (const CheckpointDirectory& found : ListCheckpoints(root)) {
    if (found.step != step) continue;
    if (!best || (best->abandoned && !found.abandoned)) best = found;
  }
  return best;
}

}  // namespace moat::checkpoint
