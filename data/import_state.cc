// Small files beside the spool.
#include "data/import_state.h"

#include <nlohmann/json.hpp>

#include "core/digest.h"
#include "core/durable_file.h"
#include "core/fault.h"
#include "data/index.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Raised when these files or the spool are laid out differently than before.
constexpr int kLayout = 1;
constexpr const char* kStateFile = "import.json";
constexpr const char* kSplitFile = "splits";
constexpr const char* kSealedFile = "sealed.json";

std::string_view BytesOf(const std::vector<uint8_t>& split) {
  return {reinterpret_cast<const char*>(split.data()), split.size()};
}

// False unless split and spool are those that `state`, the state file, tells of.
bool ReadSplit(const fs::path& directory, const json& state, Split* split) {
  std::error_code error;
  if (fs::file_size(directory / kSpoolFile, error) != state.at("spool_bytes").get<uintmax_t>() ||
      !fs::exists(directory / kSplitFile)) {
    return false;
  }
  const std::string bytes = core::ReadWholeFile(directory / kSplitFile);
  *split = Split(std::vector<uint8_t>(bytes.begin(), bytes.end()));
  state.at("split_rule").get_to(split->rule);
  state.at("split_groups").get_to(split->groups);
  return core::Hex(core::Sha256Of(bytes)) == state.at("split_digest").get<std::string>();
}

}  // namespace

void WriteImportState(const fs::path& directory, const ImportState& state) {
  core::WriteFileAtomically(directory / kSplitFile, BytesOf(state.split.packed()));
  const json value = {{"layout", kLayout},
                      {"split_rule", state.split.rule},
                      {"split_groups", state.split.groups},
                      {"text_bytes", state.text_bytes},
                      {"records", state.records},
                      {"quarantined", state.quarantined},
                      {"counts", state.counts},
                      {"spool_bytes", fs::file_size(directory / kSpoolFile)},
                      {"split_digest", core::Hex(core::Sha256Of(BytesOf(state.split.packed())))}};
  core::WriteFileAtomically(directory / kStateFile, value.dump());
}

std::optional<ImportState> ReadImportState(const fs::path& directory) {
  if (!fs::exists(directory / kStateFile)) return std::nullopt;
  const json value = json::parse(core::ReadWholeFile(directory / kStateFile), nullptr, false);
  ImportState state;
  try {
    if (value.at("layout").get<int>() != kLayout) return std::nullopt;
    value.at("text_bytes").get_to(state.text_bytes);
    value.at("records").get_to(state.records);
    value.at("quarantined").get_to(state.quarantined);
    value.at("counts").get_to(state.counts);
    if (!fs::exists(directory / kIndexFile) && !ReadSplit(directory, value, &state.split)) {
      return std::nullopt;
    }
  } catch (const json::exception&) {
    return std::nullopt;
  }
  return state;
}

void WriteSealed(const fs::path& directory, const std::vector<ShardEntry>& sealed) {
  core::WriteFileAtomically(directory / kSealedFile, ShardsToText(sealed));
}

std::vector<ShardEntry> ReadSealed(const fs::path& directory, const fs::path& shards_in) {
  if (!fs::exists(directory / kSealedFile)) return {};
  std::vector<ShardEntry> sealed = ShardsFromText(core::ReadWholeFile(directory / kSealedFile));
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::error_code error;
    const auto bytes = fs::file_size(shards_in / sealed[i].file, error);
    if (!error && static_cast<int64_t>(bytes) == sealed[i].bytes) continue;
    return {};  // somebody was here: all are written again
  }
  return sealed;
}

void RemoveImportState(const fs::path& directory) {
  for (const char* file : {kSplitFile, kSealedFile, kSpoolFile}) fs::remove(directory / file);
  // Temporary files of a process that was killed while it wrote one: ".<name>.tmp-..",
  // "<name>.tmp".
  std::vector<fs::path> temporary;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.path().filename().string().find(".tmp") != std::string::npos) {
      temporary.push_back(entry.path());
    }
  }
  for (const fs::path& path : temporary) fs::remove(path);
  core::FaultPoint("import.cleaned");
  fs::remove(directory / kStateFile);  // last: with the index it says that all is written
}

}  // namespace moat::data
