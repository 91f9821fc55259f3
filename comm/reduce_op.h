// How values of several ranks become one.
#pragma once

#include <cstdint>

namespace moat::comm {

enum class ReduceOp : uint8_t { kSum, kMax, kMin };

// The order in which a sum over ranks is taken. It matters for floats only.
enum class Order : uint8_t {
  // One binary tree over rank numbers, whatever the backend, count or piece size:
  // ((r0+r1)+(r2+r3))+... (comm/reduction_tree.h). Bits depend on the inputs and the group's size
  // only.
  kTree,
  // Whatever the backend does fastest.
  kAny,
};

}  // namespace moat::comm
