// Choosing where to start.
#include "trainer/run_start.h"

#include <array>

#include "checkpoint/manifest/line.h"
#include "core/error.h"
#include "core/logging.h"
#include "rundir/layout.h"

namespace moat::trainer {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDataVersion = "data version";
constexpr const char* kDataContent = "data content";

// What makes weights of one run mean the same in another.
constexpr std::array<const char*, 13> kModelIdentity = {
    "layers", "width",          "heads", "kv_heads",    "ffn",          "norm",     "position",
    "mlp",    "tie_embeddings", "bias",  "rotary_base", "norm_epsilon", "tokenizer"};

std::string ValueOr(const Identity& identity, const char* name, const std::string& otherwise) {
  const auto found = identity.find(name);
  return found == identity.end() ? otherwise : found->second;
}

}  // namespace

std::optional<fs::path> ChooseStart(const fs::path& root, const std::string& resume,
                                    comm::Communicator& world) {
  if (resume == "auto") return checkpoint::ChooseNewest(root, world);
  const bool leader = world.rank() == 0;
  if (resume == "never") {
    if (world.AnyOf(leader && !checkpoint::ListCheckpoints(root).empty())) {
      throw core::ConfigError("--resume=never, but there are checkpoints in " + root.string() +
                              "; start another --run, or resume with --resume=auto");
    }
    return std::nullopt;
  }
  const int64_t step = std::stoll(resume);
  std::string name = checkpoint::CheckpointName(step, 1);
  if (leader) {
    if (const auto found = checkpoint::FindStep(root, step)) name = found->path.filename();
  }
  return root / world.BroadcastText(name, 0);
}

// "best": the newest checkpoint knows which step was best; if that one is still there, it is taken.
fs::path ChooseTrained(const fs::path& root, const std::string& run, const std::string& asked,
                       comm::Communicator& world) {
  if (!asked.empty() && asked != "best" && asked != "newest") return asked;
  const auto newest = checkpoint::ChooseNewest(root, world);
  if (!newest) {
    throw core::ConfigError("the run " + run + " has no checkpoint in " + root.string() +
                            " yet; train it first with moat launch --run=" + run);
  }
  if (asked == "newest") return *newest;
  std::string name = newest->filename();
  if (world.rank() == 0) {
    const int64_t best = ReadProgress(checkpoint::ReadManifest(*newest)).best.step;
    for (const auto& candidate : checkpoint::ListLine(root)) {
      if (candidate.step == best) name = candidate.path.filename();
    }
  }
  return root / world.BroadcastText(name, 0);
}

data::Dataset OpenData(const configs::TrainConfig& config, const std::optional<fs::path>& start,
                       comm::Communicator& world) {
  int version = config.data_version;
  if (start) {
    const Identity saved = ReadIdentity(checkpoint::ReadManifest(*start));
    const int trained = std::stoi(ValueOr(saved, kDataVersion, "1"));
    if (version != 0 && version != trained) {
      throw core::ConfigError("--data_version=" + std::to_string(version) + ", but " +
                              start->string() + " was trained on version " +
                              std::to_string(trained) +
                              "; leave the flag out, or start another run with --init_from");
    }
    version = trained;
  }
  data::Dataset dataset = data::Dataset::Open(config.data, version);
  const std::string& content = dataset.content_digest();
  if (world.AnyOf(world.BroadcastText(content, 0) != content)) {
    throw core::DataError(config.data +
                          " changed while the run started: ranks read different versions; launch "
                          "it again");
  }
  return dataset;
}

Identity ExpectedIdentity(const Identity& saved, const Identity& now,
                          const data::Dataset& dataset) {
  Identity expected = now;
  if (!saved.contains(kDataVersion)) expected.erase(kDataVersion);
  const std::string content = ValueOr(saved, kDataContent, "");
  if (dataset.HeldBeforeForgetting(content)) expected[kDataContent] = content;
  return expected;
}

fs::path ChooseInitialWeights(const configs::TrainConfig& config, const Identity& now,
                              comm::Communicator& world) {
  const fs::path given = config.init_from;
  const bool is_directory = config.init_from.find('/') != std::string::npos;
  const fs::path from =
      is_directory
          ? given
          : ChooseTrained(rundir::LayoutOf(config.run_root, config.init_from).checkpoints(),
                          config.init_from, "best", world);
  const Identity saved = ReadIdentity(checkpoint::ReadManifest(from));
  std::string differences;
  const auto compare = [&](const char* name) {
    const std::string theirs = ValueOr(saved, name, "absent");
    const std::string ours = ValueOr(now, name, theirs);
    if (theirs == ours) return;
    differences += "; its " + std::string(name) + " is " + theirs + ", here " + ours;
  };
  for (const char* name : kModelIdentity) compare(name);
  if (!differences.empty()) {
    throw core::ConfigError("--init_from=" + config.init_from + ": " + from.string() +
                            " is of another model" + differences +
                            "; use its model flags, and data imported with its --tokenizer");
  }
  return from;
}

}  // namespace moat::trainer
