// moat launch --preflight: whether every node of a job is fit to train on, in seconds.
//
// moat-probe measures on all ranks at once: matrix products, memory, pairs of ranks across nodes,
// all ranks together, the disk of the runs and the data. What a node reaches is compared with the
// median of the job and with what earlier jobs left behind (the baseline). UnfitNodes() is pure.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "launch/job_spec.h"
#include "rundir/layout.h"

namespace moat::launch {

// What is measured, by name ("products", "memory", "pairs", "disk", "data"), in a rate of its own:
// more is better. What was not measured is absent.
using Rates = std::map<std::string, double>;

struct RankRates {
  int rank = 0;
  std::string host;
  Rates rates;
};
// Of moat-probe's JSON. `bf16`: which products count.
std::vector<RankRates> RatesOf(const nlohmann::ordered_json& probed, bool bf16);

struct UnfitNode {
  int node = 0;  // ranks fill nodes in blocks: the first is 0
  int rank = 0;  // of its ranks, the one that says so
  std::string host;
  std::string what;  // "products 41 GFLOP/s, 58% of the job's median of 70"
};

// Nodes one of whose rates is below its share of the job's median, or of the baseline's where the
// job as a whole is not; the worst first, and at most half of them.
std::vector<UnfitNode> UnfitNodes(const std::vector<RankRates>& ranks, int ranks_per_node,
                                  const Rates& baseline);

// The medians over the ranks.
Rates Medians(const std::vector<RankRates>& ranks);

// Lines of text: each rate's median, its slowest rank, the baseline where there is one.
std::string ToText(const std::vector<RankRates>& ranks, const Rates& baseline);

// Measures the job's nodes, says what was found, and returns those that are unfit. A job that is
// fit becomes the baseline of its --run_root where there was none (preflight.json, by host kind:
// threads, ranks a node and dtype). Throws ExitCode::kNode where the probe itself fails: a sum that
// is wrong, a rank that does not come up.
std::vector<UnfitNode> Preflight(const JobSpec& job);
// For jobs whose nodes nobody can exchange: throws ExitCode::kNode, naming the nodes that are
// unfit.
void RequireFitNodes(const JobSpec& job);

}  // namespace moat::launch
