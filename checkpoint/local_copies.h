// What lies in the folders of the node-local tier, as text and as values. Internal to checkpoint/.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace moat::checkpoint {

// What a .part file says in its first line; behind it stands the part of a manifest that a rank's
// file is, with its own CRC.
struct LocalPart {
  std::string token;  // of the attempt that wrote it
  int64_t step = 0;
  int place = 0;
  int rank = 0;                  // whose file it is
  int ranks = 1;                 // of the attempt
  std::filesystem::path folder;  // where it was found

  std::string ToLine() const;  // with a line break; without the folder
  static std::optional<LocalPart> FromLine(const std::string& line);
};

std::string PartName(int rank);  // "rank-00002.part"

// All .part files below the folder of a run that can be read.
std::vector<LocalPart> ListParts(const std::filesystem::path& run_folder);
// What stands behind the first line. Throws StorageError.
std::string ReadPart(const LocalPart& part);

// Whose copies count, as the shared tier says: those of the newest attempt, and the one that it
// went on from.
struct LocalClaim {
  std::string run_id;
  std::string token;
  std::string start_token;  // "": it did not go on from a copy
  int64_t start_step = 0;

  std::string ToText() const;
  static std::optional<LocalClaim> FromText(const std::string& text);
  bool Covers(const LocalPart& part) const {
    return part.token == token || (part.token == start_token && part.step == start_step);
  }
};
void WriteClaim(const std::filesystem::path& root, const LocalClaim& claim);
// nullopt where there is none, or none that can be read.
std::optional<LocalClaim> ReadClaim(const std::filesystem::path& root);

}  // namespace moat::checkpoint
