// Starting `moat launch` through a shell that gives it its log and becomes it.
#include "launch/launched_run.h"

#include <sys/wait.h>

#include <sstream>

namespace moat::launch {

std::vector<std::string> LaunchFlags(const configs::CommandLine& line,
                                     const std::set<std::string>& without) {
  static const std::set<std::string> own = {"run",  "run_root", "json",
                                            "wait", "parsable", "dry_run"};
  std::vector<std::string> flags;
  std::istringstream lines(line.ResolvedFlags("launch"));
  for (std::string text; std::getline(lines, text);) {
    const std::string name = text.substr(2, text.find('=') - 2);
    if (own.count(name) == 0 && without.count(name) == 0) flags.push_back(text);
  }
  return flags;
}

LaunchedRun::LaunchedRun(const std::filesystem::path& moat, const std::vector<std::string>& flags,
                         const std::filesystem::path& log) {
  std::vector<std::string> argv = {"/bin/sh",    "-c",          R"(exec "$@" >>"$0" 2>&1)",
                                   log.string(), moat.string(), "launch"};
  argv.insert(argv.end(), flags.begin(), flags.end());
  child_ = std::make_unique<Child>(argv, std::map<std::string, std::string>{});
}

std::optional<int> LaunchedRun::ExitCode() {
  int status = 0;
  if (!child_->HasEnded(&status)) return std::nullopt;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace moat::launch
