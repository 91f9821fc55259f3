// What a rank asks its group to do: compared between ranks, so that a mix-up is an error instead of
// garbage, and printed when a deadline passes.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "comm/reduce_op.h"
#include "core/dtype.h"

namespace moat::comm {

struct Call {
  enum class Kind : uint8_t {
    kAllReduce,
    kReduceScatter,
    kAllGather,
    kBroadcast,
    kBarrier,
    kRollCall,  // a barrier of ranks that waited in vain elsewhere
  };
  Kind kind = Kind::kBarrier;
  int64_t count = 0;  // elements of the buffer, or of one rank's block
  core::DType dtype = core::DType::kU8;
  ReduceOp op = ReduceOp::kSum;
  Order order = Order::kAny;
  int root = 0;

  using Words = std::array<uint64_t, 2>;
  Words words() const;  // equal exactly when the calls are
  static Call FromWords(const Words& words);
  bool moves_nothing() const { return kind == Kind::kBarrier || kind == Kind::kRollCall; }
  std::string text() const;  // "all_reduce(sum, 4096 f32)"
};

const char* Name(Call::Kind kind);  // "all_reduce", ...

}  // namespace moat::comm
