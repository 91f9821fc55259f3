// What makes a run the same run.
#include "launch/identity.h"

#include "configs/identity.h"
#include "core/error.h"

namespace moat::launch {
namespace {

bool Same(const std::string& flag, const std::string& before, const std::string& now) {
  if (before == now) return true;
  namespace fs = std::filesystem;
  return flag == "data" &&
         fs::weakly_canonical(fs::absolute(before)) == fs::weakly_canonical(fs::absolute(now));
}

}  // namespace

std::vector<std::string> CheckSameRun(const std::filesystem::path& run_flags,
                                      const configs::CommandLine& wanted) {
  if (!std::filesystem::exists(run_flags)) return {};
  const auto before = configs::CommandLine::Parse(
      "train", std::vector<std::string>{"--flagfile=" + run_flags.string()});
  std::string differences;
  for (const std::string& flag : configs::IdentityFlags()) {
    if (Same(flag, before.value(flag), wanted.value(flag))) continue;
    differences += (differences.empty() ? "" : "; ") +
                   ("--" + flag + " was " + before.value(flag)) + ", now " + wanted.value(flag);
  }
  if (!differences.empty()) {
    throw core::ConfigError(run_flags.parent_path().string() +
                            " is a run of another configuration: " + differences +
                            "; launch it as it was, or choose another --run");
  }
  std::vector<std::string> notes;
  for (const std::string& flag : configs::BitFlags()) {
    if (before.value(flag) == wanted.value(flag)) continue;
    notes.push_back("the chain of equal bits ends here: --" + flag + " was " + before.value(flag) +
                    ", now " + wanted.value(flag));
  }
  return notes;
}

}  // namespace moat::launch
