// Small files beside the spool.
#include "data/import_state.h"

#include <nlohmann/json.hpp>

#include "core/digest.h"
#include "core/durable_file.h"
#include "data/index.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kStateFile = "import.json";
constexpr const char* kSplitFile = "splits";
constexpr const char* kSealedFile = "sealed.json";

std::string_view BytesOf(const std::vector<uint8_t>& split) {
  return {reinterpret_cast<const char*>(split.data()), split.size()};
}

}  // namespace

void WriteImportState(const fs::path& directory, const ImportState& state) {
  core::WriteFileAtomically(directory / kSplitFile, BytesOf(state.split));
  const json value = {{"split_rule", state.split_rule},
                      {"text_bytes", state.text_bytes},
                      {"records", state.records},
                      {"quarantined", state.quarantined},
                      {"counts", state.counts},
                      {"spool_bytes", fs::file_size(directory / kSpoolFile)},
                      {"split_digest", core::Hex(core::Sha256Of(BytesOf(state.split)))}};
  core::WriteFileAtomically(directory / kStateFile, value.dump());
}

std::optional<ImportState> ReadImportState(const fs::path& directory) {
  std::error_code error;
  if (!fs::exists(directory / kStateFile) || !fs::exists(directory / kSplitFile)) {
    return std::nullopt;
  }
  const json value = json::parse(core::ReadWholeFile(directory / kStateFile), nullptr, false);
  ImportState state;
  try {
    value.at("split_rule").get_to(state.split_rule);
    value.at("text_bytes").get_to(state.text_bytes);
    value.at("records").get_to(state.records);
    value.at("quarantined").get_to(state.quarantined);
    value.at("counts").get_to(state.counts);
    const std::string split = core::ReadWholeFile(directory / kSplitFile);
    state.split.assign(split.begin(), split.end());
    if (fs::file_size(directory / kSpoolFile, error) != value.at("spool_bytes").get<uintmax_t>() ||
        core::Hex(core::Sha256Of(split)) != value.at("split_digest").get<std::string>()) {
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

std::vector<ShardEntry> ReadSealed(const fs::path& directory) {
  if (!fs::exists(directory / kSealedFile)) return {};
  std::vector<ShardEntry> sealed = ShardsFromText(core::ReadWholeFile(directory / kSealedFile));
  for (size_t i = 0; i < sealed.size(); ++i) {
    std::error_code error;
    const auto bytes = fs::file_size(directory / sealed[i].file, error);
    if (!error && static_cast<int64_t>(bytes) == sealed[i].bytes) continue;
    return {};  // somebody was here: all are written again
  }
  return sealed;
}

void RemoveImportState(const fs::path& directory) {
  for (const char* file : {kStateFile, kSplitFile, kSealedFile, kSpoolFile}) {
    fs::remove(directory / file);
  }
  // Temporary files of a process that was killed while it wrote one: ".<name>.tmp-..",
  // "<name>.tmp".
  std::vector<fs::path> temporary;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (entry.path().filename().string().find(".tmp") != std::string::npos) {
      temporary.push_back(entry.path());
    }
  }
  for (const fs::path& path : temporary) fs::remove(path);
}

}  // namespace moat::data
