// A loop over independent items, on several threads.
#pragma once

#include <cstdint>
#include <functional>

namespace moat::data {

// Calls body(0) ... body(count - 1), each once, on at most `threads` threads, the caller's among
// them. After an error no further item is begun; of those thrown, the one with the lowest index is
// rethrown.
void ParallelFor(int64_t count, int threads, const std::function<void(int64_t)>& body);

}  // namespace moat::data
