// How fast this machine's memory is read and written.
#pragma once

namespace moat::programs {

// a = b + s c over arrays that no cache holds, on `threads` threads: bytes read and written in a
// second, 1e9 of them, the best of about `seconds` of rounds. (McCalpin's STREAM calls it the
// triad.)
double MeasureMemory(int threads, double seconds);

}  // namespace moat::programs
