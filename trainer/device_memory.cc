// The plan against the device, and against plans with one flag changed.
#include "trainer/device_memory.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "tensor/device.h"
#include "tensor/tensor.h"

namespace moat::trainer {
namespace {

struct Help {
  std::string flag;
  core::Bytes needed;  // with it
};

// Can a model be computed like this at all?
bool Possible(const configs::ModelConfig& model, const model::PlanOptions& passes) {
  try {
    model::PlanActivations(model, passes);
    return true;
  } catch (const core::ConfigError&) {
    return false;
  }
}

std::vector<Help> WhatHelps(const configs::ModelConfig& model,
                            const model::MemoryOptions& options) {
  std::vector<Help> helps;
  const auto add = [&](const std::string& flag, const model::MemoryOptions& changed) {
    helps.push_back({flag, model::PlanMemory(model, changed).total});
  };
  if (options.passes.rows > 1) {
    model::MemoryOptions fewer = options;
    fewer.passes.rows /= 2;
    add("--micro_batch=" + std::to_string(fewer.passes.rows), fewer);
  }
  if (options.passes.recompute != configs::Recompute::kBlock) {
    model::MemoryOptions again = options;
    again.passes.recompute = configs::Recompute::kBlock;
    add("--recompute=block", again);
  }
  if (!options.sharded && options.dp > 1) {
    model::MemoryOptions shared = options;
    shared.sharded = true;
    add("--zero=1", shared);
  }
  model::MemoryOptions wider = options;
  wider.passes.tp *= 2;
  wider.tp_index = 0;
  if (Possible(model, wider.passes)) add("--tp=" + std::to_string(wider.passes.tp), wider);
  std::sort(helps.begin(), helps.end(),
            [](const Help& a, const Help& b) { return a.needed.value < b.needed.value; });
  return helps;
}

// What lies on the device: snapshots are the host's.
model::MemoryOptions OnDevice(model::MemoryOptions plan) {
  if (plan.passes.device != core::DeviceKind::kCpu) plan.snapshots = false;
  return plan;
}

// Which flags make the plan smaller, and whether it then fits, where `free` is known.
std::string HelpsText(const configs::ModelConfig& model, const model::MemoryOptions& options,
                      core::Bytes needed, std::optional<core::Bytes> free) {
  std::string helps;
  for (const Help& help : WhatHelps(model, options)) {
    if (help.needed.value >= needed.value) continue;
    helps += (helps.empty() ? "" : ", ") + help.flag + " would make it " +
             core::Format(help.needed) +
             (free && help.needed.value <= free->value ? " (it fits)" : "");
  }
  return helps.empty() ? "use a smaller model or --seq_len" : helps;
}

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
  const model::MemoryOptions options = OnDevice(plan);
  const model::MemoryPlan on_device = model::PlanMemory(model, options);
  const int device = room.ranks.empty() ? world.rank() : room.ranks.front();
  const std::vector<Claim> claims = Gather({on_device.total.value, room.free.value, device}, world);
  const auto misfit = std::find_if(claims.begin(), claims.end(), [&](const Claim& claim) {
    return claim.needed > PartOf(claim, claims).value;
  });
  if (misfit == claims.end()) return;
  const auto first = static_cast<int>(misfit - claims.begin());
  const comm::Member& member = world.members()[static_cast<size_t>(first)];
  std::string what;
  if (world.rank() == first) {
    const core::Bytes part = PartOf(*misfit, claims);
    what = "out of memory: the tensors of rank " + std::to_string(member.world_rank) +
           (member.host.empty() ? "" : " on " + member.host) + " need " +
           core::Format(on_device.total) + " on its device, " + room.name + ", which has " +
           core::Format(part) + " free" +
           (room.ranks.size() > 1
                ? " for each of the " + std::to_string(room.ranks.size()) + " ranks on it"
                : "") +
           ": " + on_device.text() + "; " + HelpsText(model, options, on_device.total, part);
  }
  what = world.BroadcastText(what, first);
  throw core::OutOfMemoryError(what, world.rank() == first ? std::nullopt
                                                           : std::optional(core::FailedRank{
                                                                 member.world_rank, member.host}));
}

core::OutOfMemoryError WithPlan(const core::OutOfMemoryError& error,
                                const configs::ModelConfig& model,
                                const model::MemoryOptions& plan) {
  const model::MemoryOptions options = OnDevice(plan);
  const model::MemoryPlan planned = model::PlanMemory(model, options);
  return core::OutOfMemoryError(std::string(error.what()) + "; this rank's tensors take " +
                                    core::Format(planned.total) + ": " + planned.text() + "; " +
                                    HelpsText(model, options, planned.total, {}),
                                error.failed());
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
