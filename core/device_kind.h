// Where memory lives and work runs.
#pragma once

#include <cstdint>

namespace moat::core {

enum class DeviceKind : uint8_t { kCpu, kCuda };

inline const char* Name(DeviceKind kind) { return kind == DeviceKind::kCpu ? "cpu" : "cuda"; }

}  // namespace moat::core
