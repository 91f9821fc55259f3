// moat checkpoint verify: every byte of one checkpoint or of all of a run's.
#include <iostream>
#include <nlohmann/json.hpp>

#include "checkpoint/manifest/manifest.h"
#include "checkpoint/verify.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/host.h"
#include "core/units.h"
#include "programs/moat_model/checkpoint_commands.h"
#include "programs/moat_model/checkpoint_place.h"

namespace moat::programs {
namespace {

namespace fs = std::filesystem;
using checkpoint::Damage;
using checkpoint::Verification;
using nlohmann::ordered_json;

// One line a second on stderr, once it takes longer than that.
class ProgressLine {
 public:
  explicit ProgressLine(std::string name) : name_(std::move(name)) {}
  void operator()(int64_t done, int64_t all) {
    const double now = core::MonotonicSeconds();
    if (now - last_ < 1) return;
    last_ = now;
    const double rate = static_cast<double>(done) / (now - start_);
    if (done == 0) return;
    std::cerr << name_ << ": " << core::Format(core::Bytes(done)) << " of "
              << core::Format(core::Bytes(all)) << ", "
              << core::Format(core::Bytes(static_cast<int64_t>(rate))) << "/s, "
              << core::FormatSeconds(static_cast<double>(all - done) / rate) << " to go\n";
  }

 private:
  std::string name_;
  double start_ = core::MonotonicSeconds();
  double last_ = start_;
};

struct Verified {
  fs::path directory;
  Verification verification;
  double seconds = 0;
};

std::vector<fs::path> PlacesToVerify(const std::string& run_root, const std::string& place) {
  if (IsOneCheckpoint(place)) return {place};
  const fs::path root = CheckpointRootOf(run_root, place);
  std::vector<fs::path> places;
  for (const auto& found : checkpoint::ListCheckpoints(root)) places.push_back(found.path);
  if (places.empty()) {
    throw core::DataError("there is no checkpoint in " + root.string());
  }
  return places;
}

Verified VerifyOne(const fs::path& directory, int threads) {
  const double start = core::MonotonicSeconds();
  ProgressLine progress(directory.filename());
  Verification verification = checkpoint::VerifyAll(directory, threads, std::ref(progress));
  return {directory, std::move(verification), core::MonotonicSeconds() - start};
}

ordered_json ToJson(const Verified& one) {
  ordered_json json = {{"directory", one.directory.string()},
                       {"ok", one.verification.ok()},
                       {"step", one.verification.step},
                       {"tensors", one.verification.tensors},
                       {"files", one.verification.files},
                       {"bytes", one.verification.bytes},
                       {"seconds", one.seconds},
                       {"damages", ordered_json::array()}};
  for (const Damage& damage : one.verification.damages) {
    json["damages"].push_back({{"file", damage.file},
                               {"tensor", damage.tensor},
                               {"slice", damage.slice},
                               {"what", damage.what}});
  }
  return json;
}

void Print(const Verified& one) {
  const Verification& found = one.verification;
  if (found.ok()) {
    std::cout << one.directory.string() << " is intact: step " << found.step << ", "
              << found.tensors << " tensors in " << found.files << " files, "
              << core::Format(core::Bytes(found.bytes)) << " in "
              << core::FormatSeconds(one.seconds) << "\n";
    return;
  }
  std::cout << one.directory.string() << " is damaged:\n";
  for (const Damage& damage : found.damages) std::cout << "  " << damage.what << "\n";
}

}  // namespace

int CheckpointVerify(const configs::CommandLine& line) {
  const int threads = core::ThreadsOf(static_cast<int>(line.Int("threads")));
  ordered_json json = {{"ok", true}, {"checkpoints", ordered_json::array()}};
  for (const fs::path& place : PlacesToVerify(line.value("run_root"), line.positional().front())) {
    const Verified one = VerifyOne(place, threads);
    if (!one.verification.ok()) json["ok"] = false;
    json["checkpoints"].push_back(ToJson(one));
    if (!line.Bool("json")) Print(one);
  }
  if (line.Bool("json")) std::cout << json.dump() << "\n";
  return json["ok"] ? 0 : static_cast<int>(core::ExitCode::kData);
}

}  // namespace moat::programs
