// Measuring a job before it trains.
#include "launch/preflight.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"
#include "launch/placement.h"
#include "launch/probe_run.h"
#include "launch/render.h"

namespace moat::launch {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Kind {
  const char* name;
  const char* unit;
  double least;  // share of the median that a fit node reaches
};
// Products and memory hardly vary between healthy nodes of a kind; what is shared does.
constexpr Kind kKinds[] = {{"products", "GFLOP/s", 0.75},
                           {"memory", "GB/s", 0.6},
                           {"pairs", "GB/s", 0.5},
                           {"disk", "MB/s", 0.2},
                           {"data", "MB/s", 0.2}};

double Median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string Number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value < 10 ? "%.2f" : "%.0f", value);
  return text;
}

std::string Of(const Kind& kind, double rate, double whole, const std::string& whose) {
  return std::string(kind.name) + " " + Number(rate) + " " + kind.unit + ", " +
         Number(100 * rate / whole) + "% of " + whose + " of " + Number(whole);
}

// How far a rank stays below what a fit one has: the smaller, the farther.
struct Shortfall {
  double share = 1;  // of the least that is fit; 1: it is fit
  std::string what;
};

// Where all are slower than the baseline it is not this node.
bool Counts(const Kind& kind, const Rates& baseline, double median) {
  const auto before = baseline.find(kind.name);
  return before != baseline.end() && median >= kind.least * before->second;
}

Shortfall ShortfallOf(const RankRates& rank, const Rates& medians, const Rates& baseline) {
  Shortfall worst;
  const auto compare = [&](const Kind& kind, double rate, double whole, const char* whose) {
    const double share = rate / (kind.least * whole);
    if (share < worst.share) worst = {share, Of(kind, rate, whole, whose)};
  };
  for (const Kind& kind : kKinds) {
    const auto rate = rank.rates.find(kind.name);
    if (rate == rank.rates.end()) continue;
    const double median = medians.at(kind.name);
    compare(kind, rate->second, median, "the job's median");
    if (Counts(kind, baseline, median)) {
      compare(kind, rate->second, baseline.at(kind.name), "the baseline");
    }
  }
  return worst;
}

// Which baseline a job is compared with: others are of other sizes.
std::string KeyOf(const JobSpec& job) {
  const Placement place = Place(job.config);
  return std::string(core::Name(job.config.train.dtype)) + ", " +
         std::to_string(place.ranks_per_node) + " ranks a node, " +
         std::to_string(job.config.train.threads) + " threads";
}

fs::path BaselineFile(const JobSpec& job) {
  return job.directory / job.config.train.run_root / "preflight.json";
}

// What cannot be read is no baseline: it only helps.
Json ReadBaselines(const fs::path& file) {
  if (!fs::exists(file)) return Json::object();
  Json all = Json::parse(core::ReadWholeFile(file), nullptr, false);
  if (all.is_object()) return all;
  core::Log(core::Log::kWarning) << file.string() << " is not a JSON object: no baseline";
  return Json::object();
}

Rates BaselineOf(const Json& all, const std::string& key) {
  Rates rates;
  if (!all.contains(key) || !all[key].is_object()) return rates;
  for (const auto& [name, rate] : all[key].items()) {
    if (rate.is_number()) rates[name] = rate;
  }
  return rates;
}

std::vector<std::string> ProbeArguments(const JobSpec& job) {
  const configs::TrainConfig& train = job.config.train;
  std::vector<std::string> arguments = {
      std::string("--measure=memory,disk,data,pairs,collectives,gemm_") + core::Name(train.dtype),
      "--seconds=0.5", "--json", "--run_root=" + train.run_root,
      "--threads=" + std::to_string(train.threads)};
  for (const std::string& data : train.data) arguments.push_back("--data=" + data);
  return arguments;
}

}  // namespace

std::vector<RankRates> RatesOf(const Json& probed, bool bf16) {
  std::vector<RankRates> ranks;
  for (const Json& one : probed.at("ranks")) {
    RankRates rank{one.at("rank"), one.at("host"), {}};
    const auto add = [&](const char* name, const Json& rate) {
      if (rate.is_number() && rate.get<double>() > 0) rank.rates[name] = rate;
    };
    const Json gemm = one.value("gemm", Json::object());
    const char* const type = bf16 ? "bf16" : "f32";
    if (gemm.contains(type)) add("products", gemm[type]["whole_gflops"]);
    if (one.contains("memory_gb_per_s")) add("memory", one["memory_gb_per_s"]);
    if (one.contains("pairs_gb_per_s")) add("pairs", one["pairs_gb_per_s"]);
    if (one.contains("disk")) add("disk", one["disk"]["write_mb_per_s"]);
    if (one.contains("data_mb_per_s")) add("data", one["data_mb_per_s"]);
    ranks.push_back(rank);
  }
  return ranks;
}

Rates Medians(const std::vector<RankRates>& ranks) {
  Rates medians;
  for (const Kind& kind : kKinds) {
    std::vector<double> values;
    for (const RankRates& rank : ranks) {
      const auto rate = rank.rates.find(kind.name);
      if (rate != rank.rates.end()) values.push_back(rate->second);
    }
    if (!values.empty()) medians[kind.name] = Median(values);
  }
  return medians;
}

std::vector<UnfitNode> UnfitNodes(const std::vector<RankRates>& ranks, int ranks_per_node,
                                  const Rates& baseline) {
  const Rates medians = Medians(ranks);
  std::map<int, std::pair<double, UnfitNode>> worst;  // by node
  std::set<int> nodes;
  for (const RankRates& rank : ranks) {
    const int node = rank.rank / ranks_per_node;
    nodes.insert(node);
    const Shortfall shortfall = ShortfallOf(rank, medians, baseline);
    if (shortfall.share >= 1) continue;
    const auto found = worst.find(node);
    if (found != worst.end() && found->second.first <= shortfall.share) continue;
    worst[node] = {shortfall.share, {node, rank.rank, rank.host, shortfall.what}};
  }
  std::vector<std::pair<double, UnfitNode>> order;
  for (auto& [node, unfit] : worst) order.push_back(std::move(unfit));
  std::stable_sort(order.begin(), order.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<UnfitNode> unfit;
  for (auto& [share, node] : order) {
    if (2 * (unfit.size() + 1) <= nodes.size()) unfit.push_back(std::move(node));
  }
  return unfit;
}

std::string ToText(const std::vector<RankRates>& ranks, const Rates& baseline) {
  std::string text;
  const Rates medians = Medians(ranks);
  for (const Kind& kind : kKinds) {
    const auto median = medians.find(kind.name);
    if (median == medians.end()) continue;
    const RankRates* slowest = nullptr;
    for (const RankRates& rank : ranks) {
      if (!rank.rates.contains(kind.name)) continue;
      if (!slowest || rank.rates.at(kind.name) < slowest->rates.at(kind.name)) slowest = &rank;
    }
    text += std::string("  ") + kind.name + ": median " + Number(median->second) + " " + kind.unit +
            ", slowest " + Number(slowest->rates.at(kind.name)) + " (rank " +
            std::to_string(slowest->rank) + " on " + slowest->host + ")";
    const auto before = baseline.find(kind.name);
    if (before != baseline.end()) text += ", baseline " + Number(before->second);
    if (before != baseline.end() && !Counts(kind, baseline, median->second)) {
      text += ": all are slower than they were";
    }
    text += "\n";
  }
  return text;
}

std::vector<UnfitNode> Preflight(const JobSpec& job) {
  const LaunchPlan plan = RenderProgram(job, "moat-probe", ProbeArguments(job));
  const ProbeRun run = RunProbe(plan.argv, plan.env);
  if (!run.problem.empty()) {
    throw core::Error(core::ExitCode::kNode, "preflight: " + run.problem);
  }
  const auto ranks = RatesOf(run.result, job.config.train.dtype == core::DType::kBF16);
  const fs::path file = BaselineFile(job);
  Json baselines = ReadBaselines(file);
  const std::string key = KeyOf(job);
  const Rates baseline = BaselineOf(baselines, key);
  core::Log() << "preflight of " << ranks.size() << " ranks:\n" << ToText(ranks, baseline);
  auto unfit = UnfitNodes(ranks, Place(job.config).ranks_per_node, baseline);
  for (const UnfitNode& node : unfit) {
    core::Log(core::Log::kWarning) << "preflight: node " << node.node << " (" << node.host
                                   << ") is unfit: rank " << node.rank << " has " << node.what;
  }
  if (unfit.empty() && baseline.empty()) {
    baselines[key] = Medians(ranks);
    core::WriteFileAtomically(file, baselines.dump(2) + "\n");
  }
  return unfit;
}

void RequireFitNodes(const JobSpec& job) {
  const auto unfit = Preflight(job);
  if (unfit.empty()) return;
  std::string nodes;
  for (const UnfitNode& node : unfit) nodes += (nodes.empty() ? "" : ", ") + node.host;
  throw core::Error(core::ExitCode::kNode,
                    "preflight: unfit to train on: " + nodes + " (" + unfit[0].what +
                        "); take them out of the --hostfile, or launch without --preflight");
}

}  // namespace moat::launch
