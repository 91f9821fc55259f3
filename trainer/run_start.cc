// Choosing where to start.
#include "trainer/run_start.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "checkpoint/local_tier.h"
#include "checkpoint/manifest/line.h"
#include "core/comma_list.h"
#include "core/error.h"
#include "core/logging.h"
#include "data/mixture.h"
#include "rundir/layout.h"

namespace moat::trainer {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDataVersion = "data version";
constexpr const char* kDataContent = "data content";
constexpr const char* kMatmulDType = "matmul_dtype";

// What makes weights of one run mean the same in another.
constexpr std::array<const char*, 13> kModelIdentity = {
    "layers", "width",          "heads", "kv_heads",    "ffn",          "norm",     "position",
    "mlp",    "tie_embeddings", "bias",  "rotary_base", "norm_epsilon", "tokenizer"};

std::string ValueOr(const Identity& identity, const char* name, const std::string& otherwise) {
  const auto found = identity.find(name);
  return found == identity.end() ? otherwise : found->second;
}

std::vector<std::string> ContentsOf(const std::vector<data::Dataset>& datasets) {
  std::vector<std::string> digests;
  for (const data::Dataset& dataset : datasets) digests.push_back(dataset.content_digest());
  return digests;
}

// "0.7,0.3": what weights come to.
std::string SharesText(const std::vector<double>& weights) {
  std::vector<std::string> shares;
  for (const uint64_t billionths : data::Billionths(weights)) {
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", static_cast<double>(billionths) / 1e9);
    shares.emplace_back(text);
  }
  return core::JoinWithCommas(shares);
}

// By data set: the version `start` was trained on, else the one asked for, 0 for the newest.
std::vector<int> VersionsOf(const configs::TrainConfig& config,
                            const std::optional<checkpoint::Candidate>& start) {
  std::vector<int> versions = config.data_version;
  versions.resize(config.data.size(), 0);
  if (!start) return versions;
  const std::vector<std::string> trained =
      core::SplitAtCommas(ValueOr(ReadIdentity(start->manifest), kDataVersion, "1"));
  if (trained.size() != versions.size()) {
    throw core::ConfigError("--data names " + std::to_string(versions.size()) + ", but " +
                            start->directory.string() + " was trained on " +
                            std::to_string(trained.size()) +
                            " data sets; resume with the same, or start another run with "
                            "--init_from");
  }
  for (size_t i = 0; i < versions.size(); ++i) {
    const int was = std::stoi(trained[i]);
    if (versions[i] != 0 && versions[i] != was) {
      throw core::ConfigError("--data_version=" + std::to_string(versions[i]) + " of " +
                              config.data[i] + ", but " + start->directory.string() +
                              " was trained on version " + trained[i] +
                              "; leave the flag out, or start another run with --init_from");
    }
    versions[i] = was;
  }
  return versions;
}

void CheckTheyMix(const data::Dataset& one, const data::Dataset& other) {
  const std::string both =
      "--data=" + one.directory().string() + " and --data=" + other.directory().string();
  const auto same = [&](const char* what, const std::string& ours, const std::string& theirs) {
    if (ours == theirs) return;
    throw core::DataError(both + " do not mix: the " + what + " of the one is " + ours +
                          ", of the other " + theirs +
                          "; import one with --tokenizer=" + one.tokenizer_path().string());
  };
  same("tokenizer", one.tokenizer_digest(), other.tokenizer_digest());
  same("chat template", one.template_digest(), other.template_digest());
  same("vocabulary", std::to_string(one.vocab_size()), std::to_string(other.vocab_size()));
  if (one.content_digest() == other.content_digest()) {
    throw core::DataError(both + " are the same data set twice (content " + one.content_digest() +
                          "); leave one out, and use --data_weights to read it more often");
  }
}

}  // namespace

std::vector<checkpoint::Candidate> CopiesToGoOnFrom(const configs::TrainConfig& config,
                                                    const fs::path& root,
                                                    comm::Communicator& world) {
  if (config.local_checkpoint_dir.empty() || config.resume != "auto") return {};
  auto copies = checkpoint::FindLocalCopies(config.local_checkpoint_dir, root, world);
  std::erase_if(copies, [&](const checkpoint::Candidate& copy) {
    return copy.manifest.position.step >= config.steps;  // the end is saved, not copied
  });
  return copies;
}

Start::Start(const fs::path& root, const std::string& resume, comm::Communicator& world,
             std::vector<checkpoint::Candidate> copies) {
  const bool leader = world.rank() == 0;
  if (resume == "auto") {
    candidates_.emplace(root, world, std::move(copies));
    checkpoint_ = candidates_->Next();
  } else if (resume == "never") {
    if (world.AnyOf(leader && !checkpoint::ListCheckpoints(root).empty())) {
      throw core::ConfigError("--resume=never, but there are checkpoints in " + root.string() +
                              "; start another --run, or resume with --resume=auto");
    }
  } else {
    const int64_t step = std::stoll(resume);
    std::string name = checkpoint::CheckpointName(step, 1);
    if (leader) {
      if (const auto found = checkpoint::FindStep(root, step)) name = found->path.filename();
    }
    checkpoint_ = checkpoint::CandidateOf(root / world.BroadcastText(name, 0));
  }
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

std::vector<data::Dataset> OpenData(const configs::TrainConfig& config,
                                    const std::optional<checkpoint::Candidate>& start,
                                    comm::Communicator& world) {
  const std::vector<int> versions = VersionsOf(config, start);
  std::vector<data::Dataset> datasets;
  for (size_t i = 0; i < config.data.size(); ++i) {
    datasets.push_back(data::Dataset::Open(config.data[i], versions[i]));
  }
  const std::string contents = core::JoinWithCommas(ContentsOf(datasets));
  if (world.AnyOf(world.BroadcastText(contents, 0) != contents)) {
    throw core::DataError(core::JoinWithCommas(config.data) +
                          " changed while the run started: ranks read different versions; launch "
                          "it again");
  }
  for (size_t i = 1; i < datasets.size(); ++i) {
    for (size_t j = 0; j < i; ++j) CheckTheyMix(datasets[j], datasets[i]);
  }
  return datasets;
}

Identity DataIdentity(const std::vector<data::Dataset>& datasets,
                      const std::vector<double>& weights) {
  Identity identity;
  std::vector<std::string> versions;
  for (const data::Dataset& dataset : datasets) {
    versions.push_back(std::to_string(dataset.version()));
  }
  identity[kDataVersion] = core::JoinWithCommas(versions);
  identity[kDataContent] = core::JoinWithCommas(ContentsOf(datasets));
  identity["tokenizer"] = datasets.front().tokenizer_digest();
  if (datasets.size() > 1) {
    identity["data weights"] = weights.empty() ? "by size" : SharesText(weights);
  }
  return identity;
}

Identity ExpectedIdentity(const Identity& saved, const Identity& now,
                          const std::vector<data::Dataset>& datasets) {
  Identity expected = now;
  if (!saved.contains(kDataVersion)) expected.erase(kDataVersion);
  if (!saved.contains(kMatmulDType) &&
      ValueOr(now, kMatmulDType, "") == Name(configs::MatmulDType::kSame)) {
    expected.erase(kMatmulDType);  // older checkpoints know no other
  }
  const std::vector<std::string> were = core::SplitAtCommas(ValueOr(saved, kDataContent, ""));
  std::vector<std::string> contents = ContentsOf(datasets);
  for (size_t i = 0; i < std::min(were.size(), contents.size()); ++i) {
    if (datasets[i].HeldBeforeForgetting(were[i])) contents[i] = were[i];
  }
  expected[kDataContent] = core::JoinWithCommas(contents);
  return expected;
}

fs::path ChooseInitialWeights(const configs::TrainConfig& config, const Identity& now,
                              comm::Communicator& world) {
  const fs::path given = config.init_from;
  const bool is_directory = config.init_from.find('/') != std::string::npos;
  fs::path from =
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
