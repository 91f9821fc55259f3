// Slices: half-open boxes inside global tensors, and how a parameter is split over the tensor axis.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/shape.h"

namespace moat::parallel {

// begin[d] <= index[d] < end[d] in every dim d of the global tensor.
struct Slice {
  std::vector<int64_t> begin;
  std::vector<int64_t> end;
  core::Shape shape() const;
  int64_t elements() const { return shape().elements(); }
  bool operator==(const Slice&) const = default;
  std::string text() const;  // "0:128,64:96", as in the names of tensors in checkpoint files

  static Slice Whole(const core::Shape& shape);
  static Slice Parse(const std::string& text);  // throws DataError
};

// The common part, with elements() == 0 when there is none. REQUIRES: same rank.
Slice Intersect(const Slice& a, const Slice& b);

// Copies the box `part` from a buffer that holds the box `source` (row-major) to one that holds
// `target`. REQUIRES: part lies inside both. `element_size` in bytes.
void CopySlice(const Slice& part, const Slice& source, const void* from, const Slice& target,
               void* to, int64_t element_size);

// How a tensor lies on the tensor axis: whole on every rank, or cut in equal parts along one dim.
struct SplitSpec {
  core::Shape global;
  int dim = -1;  // -1: replicated

  static SplitSpec Replicated(core::Shape shape) { return {std::move(shape), -1}; }
  static SplitSpec Split(core::Shape shape, int dim) { return {std::move(shape), dim}; }
  bool replicated() const { return dim < 0; }
};

// What part `index` of `parts` holds. THE one place that decides it: initialisation, checkpoints,
// export and tests ask here. Throws ConfigError with the equation when parts does not divide the
// extent.
Slice LocalSlice(const SplitSpec& spec, int index, int parts);

// A flat, half-open range of a row-major tensor as boxes (at most 2 x dims - 1, in order of
// memory).
std::vector<Slice> FlatRangeAsSlices(const core::Shape& shape, int64_t begin, int64_t end);

}  // namespace moat::parallel
