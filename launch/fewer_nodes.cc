// Leaving out nodes.
#include "launch/fewer_nodes.h"

#include <algorithm>
#include <set>

#include "core/comma_list.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/logging.h"
#include "launch/allocation.h"
#include "launch/hostfile.h"
#include "launch/placement.h"
#include "launch/render.h"
#include "launch/slurm_queue.h"

namespace moat::launch {
namespace {

std::string GridOf(const JobSpec& job) {
  const Placement place = Place(job.config);
  return std::to_string(place.nodes) + (place.nodes == 1 ? " node" : " nodes") + ", dp " +
         std::to_string(place.dp) + " x tp " + std::to_string(job.config.train.tp);
}

void LeaveOutOfHostfile(const NodeView& lost, const rundir::RunLayout& layout, JobSpec& job) {
  const std::string& hostfile = job.config.hostfile;
  const auto left =
      WithoutHost(core::ReadWholeFile(hostfile), lost.host, lost.address, FewestNodes(job.config));
  JobSpec next = job;
  if (!left || !Shrink(static_cast<int>(HostsOf(*left).size()), next)) {
    core::Log() << "node " << lost.host << " is kept, since it has no substitute in " << hostfile;
    return;
  }
  core::WriteFileAtomically(layout.hosts(), *left);
  next.config.hostfile = layout.hosts();
  job = next;
  core::Log() << "node " << lost.host << " is left out from now on: the hosts are those of "
              << layout.hosts() << " (" << GridOf(job) << ")";
}

void LeaveOutOfAllocation(const NodeView* lost, JobSpec& job) {
  if (FewestNodes(job.config) == job.config.nodes) return;  // Slurm replaces nodes, by a requeue
  const Allocation allocation = AllocationFromEnvironment();
  std::vector<std::string> left = job.hosts.empty() ? allocation.nodes : job.hosts;
  std::set<std::string> gone(left.begin(), left.end());
  for (const std::string& node : NodesOfJob(allocation.job)) gone.erase(node);
  if (lost != nullptr) {
    const auto node = NodeOf(FailureOf(*lost), left, Place(job.config).ranks_per_node);
    if (node) gone.insert(*node);
  }
  if (gone.empty()) return;
  std::erase_if(left, [&](const std::string& node) { return gone.count(node) > 0; });
  const std::string names = core::JoinWithCommas({gone.begin(), gone.end()});
  if (!Shrink(static_cast<int>(left.size()), job)) {
    core::Log() << "node " << names << " is kept, since the run needs it";
    return;
  }
  left.resize(static_cast<size_t>(job.config.nodes));
  job.hosts = left;
  core::Log() << "node " << names << " is left out from now on: " << GridOf(job);
}

}  // namespace

std::optional<configs::LaunchConfig> OnAtMost(const configs::LaunchConfig& config, int nodes) {
  const Placement whole = Place(config);
  for (int count = std::min(nodes, config.nodes); count >= FewestNodes(config); --count) {
    configs::LaunchConfig smaller = config;
    smaller.nodes = count;
    smaller.min_nodes = FewestNodes(config);
    smaller.ranks_per_node = whole.ranks_per_node;
    smaller.train.dp = count * whole.ranks_per_node / config.train.tp;
    try {
      CheckGrid(smaller);
      return smaller;
    } catch (const core::ConfigError&) {  // the micro-batches do not divide: fewer may
    }
  }
  return std::nullopt;
}

bool Shrink(int nodes, JobSpec& job) {
  if (nodes >= job.config.nodes) return true;
  const auto smaller = OnAtMost(job.config, nodes);
  if (!smaller) return false;
  job.config = *smaller;
  job.smaller = true;
  return true;
}

void LeaveOutLost(const NodeView* lost, const rundir::RunLayout& layout, JobSpec& job) {
  try {
    if (job.config.on == configs::LaunchOn::kAllocation) {
      LeaveOutOfAllocation(lost, job);
    } else if (lost != nullptr && !job.config.hostfile.empty()) {
      LeaveOutOfHostfile(*lost, layout, job);
    }
  } catch (const core::Error& error) {  // the file is gone, the disk is full, Slurm does not answer
    core::Log(core::Log::kWarning) << "no node is left out: " << error.what();
  }
}

}  // namespace moat::launch
