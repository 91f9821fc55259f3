// The judging and printing part of moat doctor.
#include "launch/doctor.h"

#include <algorithm>
#include <cstdio>

namespace moat::launch {
namespace {

using Json = nlohmann::ordered_json;
using State = Check::State;

constexpr core::Bytes kScarceMemory(int64_t{2} << 30);
constexpr core::Bytes kScarceSharedMemory(int64_t{64} << 20);
constexpr core::Bytes kScarceDisk(int64_t{5} << 30);

template <typename... Values>
std::string Text(const char* format, Values... values) {
  char text[512];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

std::string Rate(double gflops) {
  return gflops >= 10000 ? Text("%.0f TFLOP/s", gflops / 1000) : Text("%.0f GFLOP/s", gflops);
}

// 13010 -> "13.1" by 1000 and 10, the way of CUDA; 22809 -> "2.28.9", the way of its libraries.
std::string CudaVersion(int version) { return Text("%d.%d", version / 1000, version % 1000 / 10); }
std::string LibraryVersion(int64_t version) {
  return Text("%d.%d.%d", static_cast<int>(version / 10000), static_cast<int>(version / 100 % 100),
              static_cast<int>(version % 100));
}

Check Processor(const Machine& machine) {
  const std::string processor = machine.processor.empty() ? "" : ", " + machine.processor;
  return {State::kOk, "cores", std::to_string(machine.cores) + processor, ""};
}

Check Memory(const Machine& machine) {
  const bool scarce = machine.available_memory < kScarceMemory;
  return {scarce ? State::kWarn : State::kOk, "memory",
          Format(machine.available_memory) + " of " + Format(machine.memory) + " available",
          scarce
              ? "end other programs, or train a small model: a parameter takes about 16 bytes, and "
                "activations come on top"
              : ""};
}

Check Instructions(const Machine& machine) {
  const auto has = [&](const char* name) { return machine.instructions.count(name) > 0; };
  std::string text;
  for (const auto& [flag, name] :
       {std::pair{"avx2", "AVX2"}, std::pair{"avx512f", "AVX-512"},
        std::pair{"avx512_bf16", "AVX512-BF16"}, std::pair{"amx_bf16", "AMX"}}) {
    if (has(flag)) text += (text.empty() ? "" : ", ") + std::string(name);
  }
  if (!has("avx2")) {
    return {State::kWarn, "instructions", "no AVX2",
            "training works but is slow: use a newer processor"};
  }
  const bool bf16 = has("avx512_bf16") || has("amx_bf16");
  return {State::kOk, "instructions",
          text + (bf16 ? ": f32 and bf16" : ": f32; bf16 gains nothing"), ""};
}

Check Programs(const Findings& found) {
  if (found.missing_programs.empty()) {
    return {State::kOk, "programs", "all are beside moat", ""};
  }
  std::string names;
  std::string targets;
  for (const std::string& name : found.missing_programs) {
    names += (names.empty() ? "" : ", ") + name;
    targets += " " + name;
  }
  return {State::kFail, "programs", "missing beside moat: " + names,
          "build them: cmake --preset release && cmake --build build --target" + targets};
}

Check Products(const ProbeRun& compute) {
  if (!compute.problem.empty()) {
    return {State::kFail, "products", compute.problem,
            "moat-probe --measure=gemm shows more; launch/install-deps installs libraries"};
  }
  const Json& gemm = compute.result["ranks"][0]["gemm"];
  std::string text;
  for (const char* type : {"f32", "bf16"}) {
    const std::string problem = gemm[type]["problem"];
    text += (text.empty() ? "" : ", ") + std::string(type) + " " +
            (problem.empty() ? Rate(gemm[type]["best_gflops"]) : "none");
  }
  const std::string problem = gemm["f32"]["problem"];
  return {
      problem.empty() ? State::kOk : State::kFail, "products",
      problem.empty()
          ? text + ", threads: " + std::to_string(compute.result["ranks"][0]["threads"].get<int>())
          : problem,
      problem.empty() ? "" : "oneDNN does not run on this processor: use another machine"};
}

Check MemoryRate(const ProbeRun& compute) {
  if (!compute.problem.empty()) return {State::kWarn, "memory rate", "not measured", ""};
  return {State::kOk, "memory rate",
          Text("%.1f GB/s", compute.result["ranks"][0]["memory_gb_per_s"].get<double>()), ""};
}

Check Ranks(const Findings& found) {
  if (!found.ranks.problem.empty()) {
    const std::string version = found.mpi_version.empty() ? "" : found.mpi_version + ": ";
    return {State::kFail, "MPI", version + found.ranks.problem,
            found.mpi_version.empty() ? "install Open MPI: launch/install-deps"
                                      : "two ranks must start here: mpirun -np 2 hostname"};
  }
  const Json& rates = found.ranks.result["collectives"];
  const Json& last = rates["rates"].back();  // the largest all-gather
  return {State::kOk, "MPI",
          found.mpi_version + ": 2 ranks, barrier " +
              Text("%.1f us", 1e6 * rates["barrier_seconds"].get<double>()) + ", all-gather " +
              Text("%.1f GB/s", 1e-9 * last["bytes"].get<double>() / last["seconds"].get<double>()),
          ""};
}

Check SharedMemory(const Machine& machine) {
  const bool scarce = machine.shared_memory < kScarceSharedMemory;
  return {scarce ? State::kWarn : State::kOk, "shared memory",
          Format(machine.shared_memory) + " free in /dev/shm",
          scarce
              ? "ranks of one node will talk through messages, which is slower; give /dev/shm 64 "
                "MiB or more (containers: --shm-size=1g)"
              : ""};
}

Check Disk(const Findings& found) {
  if (!found.disk.problem.empty()) {
    return {State::kFail, "disk", found.disk.problem,
            "name a directory that can be written: --run_root=DIR"};
  }
  const Json& disk = found.disk.result["ranks"][0]["disk"];
  const core::Bytes free(disk["free_bytes"].get<int64_t>());
  return {free < kScarceDisk ? State::kWarn : State::kOk, "disk",
          found.run_root + ": " + Format(free) + " free, write and fsync " +
              Text("%.0f MB/s, read %.0f MB/s, fsync %.1f ms", disk["write_mb_per_s"].get<double>(),
                   disk["read_mb_per_s"].get<double>(), 1e3 * disk["sync_seconds"].get<double>()),
          free < kScarceDisk
              ? "a checkpoint takes 12 bytes for each parameter, and several are kept"
              : ""};
}

Check GpuBuild(const Findings& found, const Json& cuda) {
  const bool present = found.machine.nvidia_device;
  if (!cuda["built"].get<bool>()) {
    return {present ? State::kWarn : State::kOk, "GPU",
            present ? "there is an NVIDIA device, but this build has no CUDA backend"
                    : "none, and none in this build: training runs on the CPU",
            present ? "build where nvcc is: cmake --preset release -DMOAT_CUDA=ON" : ""};
  }
  const int driver = cuda["driver"];
  const auto library = [&](const char* name) {
    const int64_t version = cuda[name];
    return version == 0 ? std::string("none") : LibraryVersion(version);
  };
  const std::string text = "built with CUDA " + CudaVersion(cuda["runtime"]) +
                           (driver == 0 ? ", no driver" : ", driver for " + CudaVersion(driver)) +
                           ", cuBLASLt " + library("cublaslt") + ", NCCL " + library("nccl") +
                           ", cuDNN " + library("cudnn");
  const std::string problem = cuda["problem"];
  if (problem.empty()) return {State::kOk, "GPU", text, ""};
  if (!present && driver == 0) {
    return {State::kOk, "GPU", "none: training runs on the CPU; " + text, ""};
  }
  return {State::kWarn, "GPU", problem + "; " + text,
          "install a driver that takes this CUDA; nvidia-smi shows what there is"};
}

void Gpus(const Findings& found, std::vector<Check>* checks) {
  if (!found.cuda.problem.empty()) {
    const bool present = found.machine.nvidia_device;
    checks->push_back({State::kWarn, "GPU", found.cuda.problem,
                       present ? "moat-probe --measure=cuda shows more" : ""});
    return;
  }
  const Json& cuda = found.cuda.result["ranks"][0]["cuda"];
  checks->push_back(GpuBuild(found, cuda));
  int index = 0;
  for (const Json& device : cuda["devices"]) {
    const std::string name = "GPU " + std::to_string(index++);
    const std::string what = device["name"].get<std::string>() + ", " +
                             Format(core::Bytes(device["memory"].get<int64_t>())) + ", sm_" +
                             std::to_string(device["capability"].get<int>());
    std::string problem = device["product_problem"];
    const std::string nccl = device["nccl_problem"];
    if (!nccl.empty()) problem += (problem.empty() ? "" : "; ") + nccl;
    if (problem.empty()) {
      checks->push_back({State::kOk, name,
                         what + ": products f32 " + Rate(device["f32_gflops"]) + ", bf16 " +
                             Rate(device["bf16_gflops"]) + ", NCCL sums right",
                         ""});
    } else {
      checks->push_back({State::kWarn, name, what + ": " + problem,
                         "moat-probe --measure=cuda shows more; train on another device"});
    }
  }
}

const char* Name(State state) {
  return state == State::kOk ? "ok" : state == State::kWarn ? "warn" : "fail";
}

}  // namespace

std::vector<Check> Diagnose(const Findings& found) {
  std::vector<Check> checks = {Processor(found.machine), Memory(found.machine),
                               Instructions(found.machine), Programs(found)};
  const auto& missing = found.missing_programs;
  if (std::find(missing.begin(), missing.end(), "moat-probe") != missing.end()) {
    checks.push_back(SharedMemory(found.machine));
    return checks;  // nothing was measured, which says nothing about the machine
  }
  checks.insert(checks.end(), {Products(found.compute), MemoryRate(found.compute), Ranks(found),
                               SharedMemory(found.machine), Disk(found)});
  Gpus(found, &checks);
  return checks;
}

bool CanTrain(const std::vector<Check>& checks) {
  return std::none_of(checks.begin(), checks.end(),
                      [](const Check& check) { return check.state == State::kFail; });
}

std::string ToText(const Findings& found, const std::vector<Check>& checks) {
  std::string text = "moat doctor on " + found.machine.host + "\n";
  for (const Check& check : checks) {
    text += Text("  %-5s %-14s ", Name(check.state), check.name.c_str()) + check.what + "\n";
    if (!check.advice.empty()) text += Text("  %-5s %-14s ", "", "") + "-> " + check.advice + "\n";
  }
  return text +
         (CanTrain(checks) ? "This machine can train.\n" : "This machine cannot train yet.\n");
}

std::string ToJson(const Findings& found, const std::vector<Check>& checks) {
  Json list = Json::array();
  for (const Check& check : checks) {
    list.push_back({{"state", Name(check.state)},
                    {"name", check.name},
                    {"what", check.what},
                    {"advice", check.advice}});
  }
  const Json whole = {{"host", found.machine.host},
                      {"can_train", CanTrain(checks)},
                      {"checks", list},
                      {"measured",
                       {{"compute", found.compute.result},
                        {"disk", found.disk.result},
                        {"ranks", found.ranks.result},
                        {"cuda", found.cuda.result}}}};
  return whole.dump(2) + "\n";
}

}  // namespace moat::launch
