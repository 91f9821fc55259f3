// Bytes moved over the data axis.
#include "model/architecture/data_traffic.h"

#include "parallel/bucket_plan.h"

namespace moat::model {

core::Bytes DataTrafficOfStep(const configs::ModelConfig& config, const MemoryOptions& options) {
  const int64_t elements =
      FlatLayout(ParameterTable(config), options.tp_index, options.passes.tp).back().end();
  const int64_t padded = parallel::BucketPlan(elements, options.dp).padded();
  const int64_t f32 = core::SizeOf(core::DType::kF32);
  const int64_t second = options.sharded ? core::SizeOf(options.passes.dtype) : f32;
  return core::Bytes(padded / options.dp * (options.dp - 1) * (f32 + second));
}

}  // namespace moat::model
