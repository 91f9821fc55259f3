// Snapshot: a rank's slices as they were at one step, for a save to write while training changes
// the originals. Internal to checkpoint/.
#pragma once

#include <vector>

#include "checkpoint/checkpoint.h"
#include "tensor/tensor.h"

namespace moat::checkpoint {

class Snapshot {
 public:
  // Makes room for slices of these sizes now, so that the first copy is as quick as any. Throws
  // OutOfMemoryError.
  void Reserve(const std::vector<SliceToSave>& slices);
  // Copies the slices and takes their CRCs, with this many threads: of host memory on the way, of a
  // device's once all of it is here, for which it waits.
  void Take(const std::vector<SliceToSave>& slices, int threads);

  // The copies, with the CRCs of what was copied.
  const std::vector<SliceToSave>& slices() const { return slices_; }

 private:
  tensor::Tensor memory_;
  std::vector<SliceToSave> slices_;
};

}  // namespace moat::checkpoint
