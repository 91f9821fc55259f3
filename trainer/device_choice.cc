// Agreeing on a device.
#include "trainer/device_choice.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "comm/nccl.h"
#include "comm/staged.h"
#include "core/error.h"
#include "core/logging.h"

namespace moat::trainer {
namespace {

// "rank 1, 3 on node-b".
std::string Blind(const std::vector<std::string>& ids, const comm::Communicator& world) {
  std::map<std::string, std::string> by_host;
  for (size_t rank = 0; rank < ids.size(); ++rank) {
    if (!ids[rank].empty()) continue;
    std::string& ranks = by_host[world.members()[rank].host];
    ranks += (ranks.empty() ? "rank " : ", ") + std::to_string(rank);
  }
  std::string text;
  for (const auto& [host, ranks] : by_host) {
    text += (text.empty() ? "" : "; ") + ranks + (host.empty() ? "" : " on " + host);
  }
  return text;
}

// Those that share this one's device.
std::vector<int> RanksOnMine(const std::vector<std::string>& ids, const comm::Communicator& world) {
  const auto me = static_cast<size_t>(world.rank());
  std::vector<int> ranks;
  for (size_t rank = 0; rank < ids.size(); ++rank) {
    const bool same_node = world.members()[rank].node == world.members()[me].node;
    if (same_node && ids[rank] == ids[me]) ranks.push_back(static_cast<int>(rank));
  }
  return ranks;
}

bool AnyShared(const std::vector<std::string>& ids, const comm::Communicator& world) {
  std::set<std::pair<int, std::string>> taken;
  for (size_t rank = 0; rank < ids.size(); ++rank) {
    if (!taken.emplace(world.members()[rank].node, ids[rank]).second) return true;
  }
  return false;
}

}  // namespace

std::string DeviceChoice::text() const {
  if (kind == core::DeviceKind::kCpu) return core::Name(kind);
  return std::string(core::Name(kind)) + " (" + name +
         (shared ? ", shared by ranks of a node)" : ", one a rank)");
}

std::vector<tensor::DeviceDescription> DevicesHere(core::DeviceKind kind) {
  std::vector<tensor::DeviceDescription> devices;
  const tensor::DeviceTable& table = tensor::DeviceOf(kind);
  for (int i = 0; i < table.count(); ++i) devices.push_back(table.describe(i));
  return devices;
}

DeviceChoice ChooseDevice(const std::string& asked,
                          const std::vector<tensor::DeviceDescription>& here, int local_rank,
                          comm::Communicator& world) {
  if (asked == "cpu") return {};
  const size_t mine = here.empty() ? 0 : static_cast<size_t>(local_rank) % here.size();
  const std::vector<std::string> ids = world.AllGatherText(here.empty() ? "" : here[mine].id);
  const std::string blind = Blind(ids, world);
  if (!blind.empty() && asked == "cuda") {
    throw core::ConfigError("--device=cuda, but no CUDA device is seen by " + blind +
                            "; moat doctor says why; ask for GPUs (--gpus_per_node), start on "
                            "another machine, or use --device=auto or --device=cpu");
  }
  if (!blind.empty()) {
    const bool none =
        std::all_of(ids.begin(), ids.end(), [](const auto& id) { return id.empty(); });
    if (!none && world.rank() == 0) {
      core::Log(core::Log::kWarning)
          << "training on CPUs: no CUDA device is seen by " << blind << ", others see one";
    }
    return {};
  }
  const bool shared = AnyShared(ids, world);
  if (shared && world.rank() == 0) {
    core::Log(core::Log::kWarning)
        << "there are more ranks on a node than CUDA devices: they share devices and exchange "
           "through the host, which is slow; start one rank a device";
  }
  return {core::DeviceKind::kCuda, static_cast<int>(mine), here[mine].name, shared,
          RanksOnMine(ids, world)};
}

tensor::Stream MakeStream(const DeviceChoice& device, int threads) {
  if (device.kind == core::DeviceKind::kCpu) return tensor::Stream(threads);
  return {device.kind, device.index};
}

std::string MoveToDevice(const DeviceChoice& device, comm::GridCommunicators* groups) {
  if (device.kind == core::DeviceKind::kCpu) return "";
  const bool nccl = !device.shared && comm::NcclVersion() > 0;
  bool several = false;
  const comm::Communicator* beside = nullptr;
  for (auto* group : {&groups->data, &groups->tensor}) {
    if ((*group)->size() == 1) continue;
    several = true;
    *group = nccl ? comm::MakeNccl(std::move(*group), beside) : comm::MakeStaged(std::move(*group));
    beside = group->get();
  }
  if (!several) return "";
  return nccl ? "ranks exchange over NCCL" : "ranks exchange through the host";
}

}  // namespace moat::trainer
