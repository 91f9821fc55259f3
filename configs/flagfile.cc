// The strict reader of flagfiles.
#include "configs/flagfile.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/nearest.h"

namespace moat::configs {
namespace {

const char kInclude[] = "--flagfile=";

std::string Trimmed(const std::string& line) {
  const size_t begin = line.find_first_not_of(" \t\r");
  if (begin == std::string::npos) return "";
  return line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
}

std::string Contents(const std::string& file, const std::string& named_at) {
  try {
    return core::ReadWholeFile(file);
  } catch (const core::StorageError& error) {
    const std::string nearest = NearestFlagfile(file);
    throw core::ConfigError(Place(named_at) + "--flagfile=" + file + ": " + error.what() +
                            (nearest.empty() ? "" : "; did you mean " + nearest + "?"));
  }
}

void CheckLine(const std::string& line, const std::string& origin) {
  if (!line.starts_with("--")) {
    throw core::ConfigError(
        origin + ": expected --name=value, a comment (# ...) or nothing; found \"" + line + "\"");
  }
  if (line.find(" #") != std::string::npos) {
    throw core::ConfigError(origin + ": a comment stands on a line of its own; found \"" + line +
                            "\"");
  }
}

void Append(const std::string& file, const std::string& named_at, std::vector<std::string>& open,
            std::vector<FlagLine>& lines) {
  const std::string identity = std::filesystem::weakly_canonical(file).string();
  if (std::find(open.begin(), open.end(), identity) != open.end()) {
    throw core::ConfigError(Place(named_at) + "--flagfile=" + file +
                            ": the files name each other in a circle");
  }
  open.push_back(identity);
  std::istringstream text(Contents(file, named_at));
  std::string raw;
  for (int number = 1; std::getline(text, raw); ++number) {
    const std::string line = Trimmed(raw);
    if (line.empty() || line[0] == '#') continue;
    const std::string origin = file + ":" + std::to_string(number);
    CheckLine(line, origin);
    if (line.starts_with(kInclude)) {
      Append(line.substr(sizeof kInclude - 1), origin, open, lines);
    } else {
      lines.push_back({line, file, origin});
    }
  }
  open.pop_back();
}

}  // namespace

std::vector<FlagLine> ReadFlagfile(const std::string& file, const std::string& named_at) {
  std::vector<FlagLine> lines;
  std::vector<std::string> open;
  Append(file, named_at, open, lines);
  return lines;
}

std::string NearestFlagfile(const std::string& file) {
  namespace fs = std::filesystem;
  const fs::path named(file);
  if (fs::exists(named)) return "";
  const fs::path beside = core::NearestPath(named, named.parent_path());
  return (beside.empty() ? core::NearestPath(named, "configs") : beside).string();
}

std::string Place(const std::string& origin) {
  return origin == "command line" ? "" : origin + ": ";
}

}  // namespace moat::configs
