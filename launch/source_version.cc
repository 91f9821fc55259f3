// Which version of the sources a program was built from.
#include "launch/source_version.h"

#include <cstdio>
#include <fstream>
#include <memory>

#include "launch/render.h"

namespace moat::launch {

std::string SourceVersion(const std::filesystem::path& folder) {
  std::string version;
  std::ifstream installed(folder.parent_path() / "share" / "moat" / "commit");
  if (std::getline(installed, version) && !version.empty()) return version;
  const std::string command =
      "git -C " + ShellQuoted(folder.string()) + " describe --always --dirty --tags 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  if (!pipe) return "";
  char text[256] = {};
  if (std::fgets(text, sizeof text, pipe.get()) == nullptr) return "";
  version = text;
  while (!version.empty() && version.back() == '\n') version.pop_back();
  return version;
}

}  // namespace moat::launch
