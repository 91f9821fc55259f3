// Comparing two checkpoints, whatever grids wrote them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/manifest/manifest.h"

namespace moat::checkpoint {

// Two tensors of one name, shape and dtype whose bits differ somewhere.
struct TensorDifference {
  std::string tensor;
  int64_t elements = 0;        // of the tensor
  int64_t differing = 0;       // elements whose bits differ
  int64_t not_comparable = 0;  // of those, where either is no finite number
  double max_absolute = 0;     // of the others
  double max_relative = 0;     // of the others: |a - b| / max(|a|, |b|)
  std::vector<int64_t> first;  // index of the first one that differs, row-major
  double first_a = 0;
  double first_b = 0;
};

struct CheckpointDifference {
  std::vector<std::string> only_a;  // tensors
  std::vector<std::string> only_b;
  std::map<std::string, std::pair<std::string, std::string>> kinds;  // "f32 [4, 8]" that differ
  std::vector<TensorDifference> tensors;
  // run_id, step, lineage and the manifest's values ("progress.updates"), those that differ; ""
  // where one has none.
  std::map<std::string, std::pair<std::string, std::string>> position;
  int64_t same = 0;  // tensors that are equal bit for bit
  bool SameTensors() const {
    return only_a.empty() && only_b.empty() && kinds.empty() && tensors.empty();
  }
};

// All that is compared is checked first: throws DataError naming file and tensor where either is
// damaged. Memory is a few MiB, whatever the sizes of tensors and pieces.
CheckpointDifference Compare(const std::filesystem::path& a, const std::filesystem::path& b);

}  // namespace moat::checkpoint
