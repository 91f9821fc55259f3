// The programs beside moat, by exec.
#include "programs/moat/siblings.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/host.h"

namespace moat::programs {

void BecomeSibling(const std::string& program, const std::vector<std::string>& words) {
  const std::string path = (core::ProgramFolder() / program).string();
  std::vector<std::string> arguments = {path};
  const long named = program == "moat-" + words[0] ? 1 : 0;
  arguments.insert(arguments.end(), words.begin() + named, words.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  execv(path.c_str(), argv.data());
  throw core::ConfigError("cannot run " + path + ": " + std::strerror(errno) +
                          "; build it with: cmake --build build --target " + program);
}

}  // namespace moat::programs
