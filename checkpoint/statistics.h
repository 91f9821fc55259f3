// What the elements of a saved tensor are like.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/manifest/manifest.h"

namespace moat::checkpoint {

// Of the elements that are finite, in f64; all 0 where there are none.
struct TensorStatistics {
  int64_t elements = 0;
  int64_t nans = 0;
  int64_t infinities = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
  double rms = 0;
};

// Checks the tensor's CRCs first. Memory is a few MiB. Throws DataError, also where there is no
// such tensor, with the nearest name.
TensorStatistics MeasureTensor(const std::filesystem::path& directory, const Manifest& manifest,
                               const std::string& tensor);

// Elements as f64 (u64 and i64 beyond 2^53 are rounded).
std::vector<double> ToDoubles(const std::vector<char>& bytes, core::DType dtype);

}  // namespace moat::checkpoint
