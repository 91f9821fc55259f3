// Agreeing on an element type.
#include "trainer/usable_dtype.h"

#include "core/error.h"
#include "core/logging.h"

namespace moat::trainer {

core::DType UsableDType(core::DType asked, bool fallback, const std::string& missing_here,
                        comm::Communicator& world) {
  const std::vector<std::string> missing = world.AllGatherText(missing_here);
  for (size_t rank = 0; rank < missing.size(); ++rank) {
    if (missing[rank].empty()) continue;
    const std::string what = std::string("--dtype=") + core::Name(asked) +
                             ": the processor of rank " + std::to_string(rank) + " has no " +
                             missing[rank];
    if (!fallback) {
      throw core::ConfigError(what +
                              "; use --dtype=f32, or --dtype_fallback to train in f32 there");
    }
    if (world.rank() == 0) core::Log(core::Log::kWarning) << what << ": training in f32";
    return core::DType::kF32;
  }
  return asked;
}

}  // namespace moat::trainer
