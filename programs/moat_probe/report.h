// What one rank measured, as JSON that programs read and as text for people.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "programs/moat_probe/collectives.h"
#include "programs/moat_probe/cuda.h"
#include "programs/moat_probe/disk.h"
#include "programs/moat_probe/gemm.h"

namespace moat::programs {

nlohmann::ordered_json ToJson(const GemmRates& rates);
nlohmann::ordered_json ToJson(const DiskRates& rates);
nlohmann::ordered_json ToJson(const CudaProbe& probe);
nlohmann::ordered_json ToJson(const CollectiveRates& rates);

// The whole: {"ranks": [one object a rank], "collectives": ..., "cuda_collectives": ...}.
std::string ToText(const nlohmann::ordered_json& whole);

}  // namespace moat::programs
