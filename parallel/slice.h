// Slices: half-open boxes inside global tensors, and how a parameter is split over the tensor axis.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
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

// The runs of the box `part` that lie in one piece both in a buffer of `source` and in one of
// `target`: calls run(from, to, elements) with their offsets in elements. REQUIRES: as above.
void ForEachRun(const Slice& part, const Slice& source, const Slice& target,
                const std::function<void(int64_t from, int64_t to, int64_t elements)>& run);

// Elements between the beginnings of `whole` and `part`, where `part` lies in it, in one run of its
// memory; else nullopt.
std::optional<int64_t> RunOffset(const Slice& part, const Slice& whole);

// How a tensor lies on the tensor axis: whole on every rank, or cut along one dim between pieces
// that stay whole (rows, or the rows of one head).
struct SplitSpec {
  // Where the number of parts does not divide the number of pieces:
  //   kEven    an error
  //   kUneven  the first parts hold one piece more; a part may be empty
  //   kShared  as kEven, but when it is a multiple of the number of pieces, so many consecutive
  //            parts hold the same piece
  enum class Fit { kEven, kUneven, kShared };

  core::Shape global;
  int dim = -1;        // -1: replicated
  int64_t pieces = 0;  // along dim, equally large
  Fit fit = Fit::kEven;

  static SplitSpec Replicated(core::Shape shape) { return {std::move(shape)}; }
  static SplitSpec Split(core::Shape shape, int dim, Fit fit = Fit::kEven) {
    const int64_t pieces = shape[dim];
    return {std::move(shape), dim, pieces, fit};
  }
  // REQUIRES: `pieces` divides shape[dim].
  static SplitSpec SplitPieces(core::Shape shape, int dim, int64_t pieces, Fit fit = Fit::kEven) {
    return {std::move(shape), dim, pieces, fit};
  }
};

// What part `index` of `parts` holds. THE one place that decides it: initialisation, checkpoints,
// export and tests ask here. Throws ConfigError with the equation when it cannot be cut so.
Slice LocalSlice(const SplitSpec& spec, int index, int parts);

// How many consecutive parts hold the same slice: `parts` when replicated, 1 when each its own.
// Part `index` is the first of its copies, which answers for all, when index % Copies(...) is 0.
int Copies(const SplitSpec& spec, int parts);

// A flat, half-open range of a row-major tensor as boxes (at most 2 x dims - 1, in order of
// memory).
std::vector<Slice> FlatRangeAsSlices(const core::Shape& shape, int64_t begin, int64_t end);

}  // namespace moat::parallel
