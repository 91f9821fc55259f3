// Running moat-probe.
#include "launch/probe_run.h"

#include <algorithm>

#include "core/error.h"
#include "launch/captured.h"

namespace moat::launch {
namespace {

constexpr int kPatience = 120;  // seconds

// The last line that says something; mpirun frames its messages with dashes.
std::string LastLine(const std::string& text) {
  std::string last;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    if (line.find_first_not_of(" -\t\r") != std::string::npos) last = line;
    at = end + 1;
  }
  return last;
}

// What a run that exits with an error says. A message of moat's own is the cause, whatever mpirun
// says behind it.
std::string Problem(const Captured& captured) {
  const std::string prefix = "moat: error: ";
  const size_t at = captured.errors.find(prefix);
  if (at == std::string::npos) {
    const std::string last = LastLine(captured.errors);
    return last.empty() ? "exit code " + std::to_string(captured.code) : last;
  }
  const size_t begin = at + prefix.size();
  return captured.errors.substr(begin, captured.errors.find('\n', begin) - begin);
}

}  // namespace

ProbeRun RunProbe(const std::vector<std::string>& argv,
                  const std::map<std::string, std::string>& env) {
  using Json = nlohmann::ordered_json;
  ProbeRun run;
  try {
    const Captured captured = RunCaptured(argv, env, kPatience);
    if (captured.code == 0) {
      run.result = Json::parse(captured.output);
    } else if (captured.code == 124) {
      run.problem = "no answer within " + std::to_string(kPatience) + " s";
    } else {
      run.problem = Problem(captured);
    }
  } catch (const core::ConfigError& error) {
    run.problem = error.what();
  } catch (const Json::exception& error) {
    run.problem = std::string("an answer that is not JSON: ") + error.what();
  }
  return run;
}

}  // namespace moat::launch
