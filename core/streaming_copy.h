// Copying to memory that nobody reads soon.
#pragma once

#include <cstddef>

namespace moat::core {

// memcpy, past the caches where the processor can: a line of the target is not read before it is
// overwritten, a third less traffic for what is larger than the caches. `to` is best a multiple of
// 64 bytes. Other threads see the copy once they have synchronised with this one, as ever.
void StreamingCopy(void* to, const void* from, size_t bytes);

}  // namespace moat::core
