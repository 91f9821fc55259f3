// Calls as words and as text.
#include "comm/call.h"

namespace moat::comm {

Call::Words Call::words() const {
  return {static_cast<uint64_t>(kind) | static_cast<uint64_t>(dtype) << 8 |
              static_cast<uint64_t>(op) << 16 | static_cast<uint64_t>(order) << 24 |
              static_cast<uint64_t>(root) << 32,
          static_cast<uint64_t>(count)};
}

Call Call::FromWords(const Words& words) {
  const auto byte = [&](int i) { return static_cast<uint8_t>(words[0] >> (8 * i)); };
  return {static_cast<Kind>(byte(0)),        static_cast<int64_t>(words[1]),
          static_cast<core::DType>(byte(1)), static_cast<ReduceOp>(byte(2)),
          static_cast<Order>(byte(3)),       static_cast<int>(words[0] >> 32)};
}

const char* Name(Call::Kind kind) {
  const char* const names[] = {"all_reduce", "reduce_scatter", "all_gather",
                               "broadcast",  "barrier",        "roll_call"};
  return names[static_cast<int>(kind)];
}

std::string Call::text() const {
  const char* const ops[] = {"sum", "max", "min"};
  const bool reduces = kind == Kind::kAllReduce || kind == Kind::kReduceScatter;
  std::string text = Name(kind);
  if (moves_nothing()) return text;
  text += "(";
  if (reduces) text += std::string(ops[static_cast<int>(op)]) + ", ";
  text += std::to_string(count) + " " + core::Name(dtype);
  if (reduces && order == Order::kTree) text += ", in tree order";
  if (kind == Kind::kBroadcast) text += ", root " + std::to_string(root);
  return text + ")";
}

}  // namespace moat::comm
