// Time: a monotonic clock for durations and deadlines, the wall clock for stamps that people read.
#pragma once

#include <cstdint>
#include <string>

namespace moat::core {

double MonotonicSeconds();              // never jumps; only differences mean something
int64_t WallMicroseconds();             // Unix time
std::string FormatUtc(int64_t micros);  // "2026-03-01T12:00:00Z"

}  // namespace moat::core
