// The plans against the devices, and what a device's driver says is taken.
#include "trainer/device_memory.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "model/architecture/memory_fit.h"
#include "tensor/device.h"
#include "tensor/tensor.h"

namespace moat::trainer {
namespace {

// What a rank wants of its device, which is known by the first of its ranks.
struct Claim {
  int64_t needed, free;  // bytes
  int64_t device;
};

std::vector<Claim> Gather(const Claim& mine, comm::Communicator& world) {
  const std::array<int64_t, 3> words = {mine.needed, mine.free, mine.device};
  std::vector<std::array<int64_t, 3>> all(static_cast<size_t>(world.size()));
  tensor::Stream host;
  world.AllGather(tensor::HostView(words.data(), std::ssize(words)),
                  tensor::HostView(all.data()->data(), std::ssize(words) * world.size()), host);
  std::vector<Claim> claims;
  for (const auto& [needed, free, device] : all) claims.push_back({needed, free, device});
  return claims;
}

// An equal part of what was free when the last of the device's ranks had looked: by then each has
// what it takes before it allocates anything of its plan.
core::Bytes PartOf(const Claim& claim, const std::vector<Claim>& all) {
  int64_t ranks = 0, least = claim.free;
  for (const Claim& other : all) {
    if (other.device != claim.device) continue;
    ++ranks;
    least = std::min(least, other.free);
  }
  return core::Bytes(least / ranks);
}

}  // namespace

void CheckFits(const configs::ModelConfig& model, const model::MemoryOptions& plan,
               const DeviceRoom& room, comm::Communicator& world) {
  const int64_t needed = model::PlanMemory(model, model::OnDevice(plan)).total.value;
  const int device = room.ranks.empty() ? world.rank() : room.ranks.front();
  const std::vector<Claim> claims = Gather({needed, room.free.value, device}, world);
  const auto misfit = std::find_if(claims.begin(), claims.end(), [&](const Claim& claim) {
    return claim.needed > PartOf(claim, claims).value;
  });
  if (misfit == claims.end()) return;
  const auto first = static_cast<int>(misfit - claims.begin());
  const comm::Member& member = world.members()[static_cast<size_t>(first)];
  std::string what;
  if (world.rank() == first) {
    const std::string shared =
        room.ranks.size() > 1
            ? " for each of the " + std::to_string(room.ranks.size()) + " ranks on it"
            : "";
    what = "out of memory: " +
           model::MisfitText(model, plan, PartOf(*misfit, claims),
                             {"the tensors of rank " + std::to_string(member.world_rank) +
                                  (member.host.empty() ? "" : " on " + member.host),
                              "its device, " + room.name, shared});
  }
  what = world.BroadcastText(what, first);
  throw core::OutOfMemoryError(what, world.rank() == first ? std::nullopt
                                                           : std::optional(core::FailedRank{
                                                                 member.world_rank, member.host}));
}

DeviceMemory::DeviceMemory(core::DeviceKind device) : device_(device) {
  if (device_ != core::DeviceKind::kCpu) room_ = tensor::DeviceOf(device_).free_memory();
}

core::Bytes DeviceMemory::Peak() {
  if (room_.value == 0) return {};
  const core::Bytes taken(room_.value - tensor::DeviceOf(device_).free_memory().value);
  if (taken.value > peak_.value) peak_ = taken;
  return peak_;
}

}  // namespace moat::trainer
