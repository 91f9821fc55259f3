// Content digests of capsules, looked up in the history of a data set.
#include "programs/moat_data/user_runs.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "checkpoint/manifest/manifest.h"
#include "core/comma_list.h"
#include "core/durable_file.h"
#include "rundir/capsule.h"

namespace moat::programs {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Version = data::UserStatistics::Version;

// Interactions of `version` that may have been made blank after its contents had the digest of
// place `at`. Each digest but the last ended with a forget; which one is not kept.
int64_t ForgottenSince(const data::UserStatistics& user, const Version& version, size_t at) {
  if (at + 1 == version.digests.size()) return 0;
  int64_t forgotten = 0;
  for (const Version& later : user.versions) {
    if (later.number > version.number) forgotten += later.forgotten;
  }
  return forgotten;
}

// What the contents `digest` tell of the user; nullopt where they are of no version, or tell
// nothing.
std::optional<UserRun> ReaderOf(const data::UserStatistics& user, const std::string& digest) {
  for (const Version& version : user.versions) {
    const auto at = std::find(version.digests.begin(), version.digests.end(), digest);
    if (at == version.digests.end()) continue;
    UserRun run;
    run.version = version.number;
    run.interactions = version.interactions();
    run.forgotten_since =
        ForgottenSince(user, version, static_cast<size_t>(at - version.digests.begin()));
    if (run.interactions > 0 || run.forgotten_since > 0) return run;
    break;  // versions with the same contents: the first
  }
  return std::nullopt;
}

// The contents that a checkpoint was trained on; "": it does not say.
std::string ContentOf(const fs::path& checkpoint) {
  const fs::path path = checkpoint / checkpoint::kManifestName;
  const auto manifest = checkpoint::Manifest::FromText(core::ReadWholeFile(path), path.string());
  const auto identity = manifest.position.values.find("identity");
  if (identity == manifest.position.values.end()) return "";
  const json names = json::parse(identity->second, nullptr, false);
  return names.is_object() ? names.value("data content", "") : "";
}

void AddRun(const fs::path& root, const data::UserStatistics& user, std::vector<UserRun>* runs) {
  const rundir::RunLayout layout{root};
  std::map<std::string, UserRun> by_digest;
  for (const rundir::CapsuleEntry& entry : rundir::ReadCapsule(layout)) {
    const auto content = entry.data.find("content");
    if (content == entry.data.end()) continue;
    for (const std::string& digest : core::SplitAtCommas(content->second)) {
      by_digest[digest].attempts.push_back(entry.attempt);
    }
  }
  if (fs::is_directory(layout.checkpoints())) {
    for (const auto& directory : checkpoint::ListCheckpoints(layout.checkpoints())) {
      for (const std::string& digest : core::SplitAtCommas(ContentOf(directory.path))) {
        by_digest[digest].checkpoints.push_back(directory.path.filename());
      }
    }
  }
  for (auto& [digest, seen] : by_digest) {
    std::optional<UserRun> run = ReaderOf(user, digest);
    if (!run) continue;
    run->run = root.filename();
    run->attempts = std::move(seen.attempts);
    run->checkpoints = std::move(seen.checkpoints);
    runs->push_back(std::move(*run));
  }
}

}  // namespace

std::vector<UserRun> RunsThatReadUser(const fs::path& run_root, const data::UserStatistics& user) {
  std::vector<UserRun> runs;
  if (!fs::is_directory(run_root)) return runs;
  std::set<fs::path> roots;
  for (const auto& entry : fs::directory_iterator(run_root)) {
    if (entry.is_directory()) roots.insert(entry.path());
  }
  for (const fs::path& root : roots) AddRun(root, user, &runs);
  std::stable_sort(runs.begin(), runs.end(), [](const UserRun& a, const UserRun& b) {
    return std::pair(a.run, a.attempts) < std::pair(b.run, b.attempts);
  });
  return runs;
}

std::string ToText(const std::vector<UserRun>& runs) {
  std::string text;
  for (const UserRun& run : runs) {
    text += "run " + run.run + ", attempts";
    for (const int attempt : run.attempts) text += " " + std::to_string(attempt);
    if (!run.checkpoints.empty()) text += ", checkpoints";
    for (const std::string& checkpoint : run.checkpoints) text += " " + checkpoint;
    text += ": read version " + std::to_string(run.version) + ", which holds " +
            std::to_string(run.interactions) + " of the user";
    if (run.forgotten_since > 0) {
      text += " and has since lost up to " + std::to_string(run.forgotten_since) +
              " interactions to forgetting, whose is not kept";
    }
    text += "\n";
  }
  return text;
}

std::string ToJson(const std::vector<UserRun>& runs) {
  json list = json::array();
  for (const UserRun& run : runs) {
    list.push_back({{"run", run.run},
                    {"attempts", run.attempts},
                    {"checkpoints", run.checkpoints},
                    {"version", run.version},
                    {"interactions", run.interactions},
                    {"forgotten_since", run.forgotten_since}});
  }
  return list.dump();
}

}  // namespace moat::programs
