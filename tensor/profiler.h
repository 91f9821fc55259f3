// What a device's profiler (Nsight Systems) is told: the names of a thread's phases, and when to
// record. Costs next to nothing where no profiler listens; nothing at all in a build without CUDA.
#pragma once

namespace moat::tensor {

// While it lives, what the thread does and enqueues is shown under `name`. Ranges nest.
class ProfilerRange {
 public:
  explicit ProfilerRange(const char* name);
  ~ProfilerRange();
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;
};

// cudaProfilerStart or Stop: for nsys profile --capture-range=cudaProfilerApi.
void RecordProfile(bool on);

}  // namespace moat::tensor
