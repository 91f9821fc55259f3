// The profiler of a build without CUDA, and of the emulated device: there is none.
#include "tensor/profiler.h"

namespace moat::tensor {

ProfilerRange::ProfilerRange(const char*) {}
ProfilerRange::~ProfilerRange() {}  // not trivial where there is a profiler
void RecordProfile(bool) {}

}  // namespace moat::tensor
