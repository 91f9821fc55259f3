// Time: a monotonic clock for durations and deadlines, the wall clock for stamps that people read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace moat::core {

double MonotonicSeconds();              // never jumps; only differences mean something
int64_t WallMicroseconds();             // Unix time
std::string FormatUtc(int64_t micros);  // "2026-03-01T12:00:00Z"
// Unix seconds of "2026-03-01T12:00:00Z" or of a number that is them already; nullopt for any other
// text.
std::optional<int64_t> ParseTime(const std::string& text);

}  // namespace moat::core
