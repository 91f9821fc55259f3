// Parts and claims of the node-local tier.
#include "checkpoint/local_copies.h"

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "checkpoint/local_tier.h"
#include "core/durable_file.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr char kMagic[] = "moat.local 1";

}  // namespace

std::string LocalPart::ToLine() const {
  return std::string(kMagic) + ' ' + token + ' ' + std::to_string(step) + ' ' +
         std::to_string(place) + ' ' + std::to_string(rank) + ' ' + std::to_string(ranks) + '\n';
}

std::optional<LocalPart> LocalPart::FromLine(const std::string& line) {
  if (!line.starts_with(kMagic)) return std::nullopt;
  LocalPart part;
  std::istringstream words(line.substr(sizeof kMagic - 1));
  words >> part.token >> part.step >> part.place >> part.rank >> part.ranks;
  return words ? std::optional(part) : std::nullopt;
}

std::string PartName(int rank) {
  char name[32];
  std::snprintf(name, sizeof name, "rank-%05d.part", rank);
  return name;
}

std::vector<LocalPart> ListParts(const fs::path& run_folder) {
  std::vector<LocalPart> parts;
  std::error_code error;
  for (fs::recursive_directory_iterator at(run_folder, error), end; !error && at != end;
       at.increment(error)) {
    if (at->path().extension() != ".part") continue;
    std::ifstream file(at->path());
    std::string line;
    std::getline(file, line);
    auto part = LocalPart::FromLine(line);
    if (!part) continue;
    part->folder = at->path().parent_path();
    parts.push_back(*part);
  }
  return parts;
}

std::string ReadPart(const LocalPart& part) {
  const std::string text = core::ReadWholeFile(part.folder / PartName(part.rank));
  return text.substr(std::min(text.find('\n'), text.size() - 1) + 1);
}

std::string LocalClaim::ToText() const {
  return nlohmann::ordered_json{{"run_id", run_id},
                                {"token", token},
                                {"start_token", start_token},
                                {"start_step", start_step}}
             .dump() +
         "\n";
}

std::optional<LocalClaim> LocalClaim::FromText(const std::string& text) {
  try {
    const auto json = nlohmann::json::parse(text);
    return LocalClaim{json.at("run_id"), json.at("token"), json.at("start_token"),
                      json.at("start_step")};
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;
  }
}

void WriteClaim(const fs::path& root, const LocalClaim& claim) {
  core::WriteFileAtomically(root / kLocalName, claim.ToText());
}

std::optional<LocalClaim> ReadClaim(const fs::path& root) {
  std::ifstream file(root / kLocalName);
  std::string text;
  std::getline(file, text);
  return LocalClaim::FromText(text);
}

}  // namespace moat::checkpoint
