// Slices and splits.
#include "parallel/slice.h"

#include <algorithm>
#include <cstring>
#include <sstream>

#include "core/error.h"

namespace moat::parallel {
namespace {

int64_t Extent(const Slice& box, int dim) {
  return box.end[static_cast<size_t>(dim)] - box.begin[static_cast<size_t>(dim)];
}

// Elements between the start of `box` and the point `at`, row-major.
int64_t OffsetInside(const Slice& box, const std::vector<int64_t>& at) {
  int64_t offset = 0;
  for (size_t d = 0; d < at.size(); ++d) {
    offset = offset * (box.end[d] - box.begin[d]) + (at[d] - box.begin[d]);
  }
  return offset;
}

template <typename Use>
void Runs(const Slice& part, const Slice& source, const Slice& target, const Use& use) {
  if (part.elements() == 0) return;
  int outer = static_cast<int>(part.begin.size());  // dims before those of a run
  int64_t run = 1;
  bool whole = true;
  while (outer > 0 && whole) {
    --outer;
    run *= Extent(part, outer);
    whole = Extent(part, outer) == Extent(source, outer) &&
            Extent(part, outer) == Extent(target, outer);
  }
  std::vector<int64_t> at = part.begin;
  while (true) {
    use(OffsetInside(source, at), OffsetInside(target, at), run);
    int d = outer - 1;  // the next run, as an odometer
    for (; d >= 0; --d) {
      if (++at[d] < part.end[d]) break;
      at[d] = part.begin[d];
    }
    if (d < 0) return;
  }
}

}  // namespace

core::Shape Slice::shape() const {
  std::vector<int64_t> dims;
  for (size_t d = 0; d < begin.size(); ++d) dims.push_back(std::max<int64_t>(0, end[d] - begin[d]));
  return core::Shape(dims);
}

std::string Slice::text() const {
  std::string text;
  for (size_t d = 0; d < begin.size(); ++d) {
    text += (d ? "," : "") + std::to_string(begin[d]) + ":" + std::to_string(end[d]);
  }
  return text;
}

Slice Slice::Whole(const core::Shape& shape) {
  return {std::vector<int64_t>(shape.dims().size(), 0), shape.dims()};
}

Slice Slice::Parse(const std::string& text) {
  Slice slice;
  std::istringstream in(text);
  std::string dim;
  while (std::getline(in, dim, ',')) {
    long long begin = 0, end = 0;
    int used = 0;
    if (std::sscanf(dim.c_str(), "%lld:%lld%n", &begin, &end, &used) != 2 ||
        used != static_cast<int>(dim.size()) || begin < 0 || end < begin) {
      throw core::DataError("'" + text +
                            "' is not a slice: expected begin:end for each dim, as 0:128,64:96");
    }
    slice.begin.push_back(begin);
    slice.end.push_back(end);
  }
  return slice;
}

Slice Intersect(const Slice& a, const Slice& b) {
  Slice common = a;
  for (size_t d = 0; d < a.begin.size(); ++d) {
    common.begin[d] = std::max(a.begin[d], b.begin[d]);
    common.end[d] = std::max(common.begin[d], std::min(a.end[d], b.end[d]));
  }
  return common;
}

void CopySlice(const Slice& part, const Slice& source, const void* from, const Slice& target,
               void* to, int64_t element_size) {
  Runs(part, source, target, [&](int64_t at_from, int64_t at_to, int64_t elements) {
    std::memcpy(static_cast<char*>(to) + at_to * element_size,
                static_cast<const char*>(from) + at_from * element_size,
                static_cast<size_t>(elements * element_size));
  });
}

void ForEachRun(const Slice& part, const Slice& source, const Slice& target,
                const std::function<void(int64_t from, int64_t to, int64_t elements)>& run) {
  Runs(part, source, target, run);
}

std::optional<int64_t> RunOffset(const Slice& part, const Slice& whole) {
  if (part.elements() == 0 || !(Intersect(part, whole) == part)) return std::nullopt;
  const int dims = static_cast<int>(part.begin.size());
  int d = 0;
  while (d < dims && Extent(part, d) == 1) ++d;
  for (++d; d < dims; ++d) {
    if (Extent(part, d) != Extent(whole, d)) return std::nullopt;
  }
  return OffsetInside(whole, part.begin);
}

int Copies(const SplitSpec& spec, int parts) {
  if (spec.dim < 0) return parts;
  const bool several = spec.fit == SplitSpec::Fit::kShared && parts % spec.pieces == 0;
  return several ? static_cast<int>(parts / spec.pieces) : 1;
}

Slice LocalSlice(const SplitSpec& spec, int index, int parts) {
  Slice slice = Slice::Whole(spec.global);
  const int copies = Copies(spec, parts);
  const int64_t holders = parts / copies, holder = index / copies;
  if (holders == 1) return slice;
  if (spec.pieces % holders != 0 && spec.fit != SplitSpec::Fit::kUneven) {
    throw core::ConfigError("cannot split dim " + std::to_string(spec.dim) + " of " +
                            spec.global.text() + " over tp=" + std::to_string(parts) + ": " +
                            std::to_string(spec.pieces) + " / " + std::to_string(parts) +
                            " is not whole; choose sizes that --tp divides");
  }
  const int64_t size = spec.global[spec.dim] / spec.pieces;
  const int64_t each = spec.pieces / holders, rest = spec.pieces % holders;
  slice.begin[spec.dim] = size * (each * holder + std::min(holder, rest));
  slice.end[spec.dim] = size * (each * (holder + 1) + std::min(holder + 1, rest));
  return slice;
}

std::vector<Slice> FlatRangeAsSlices(const core::Shape& shape, int64_t begin, int64_t end) {
  std::vector<Slice> slices;
  const int dims = shape.rank();
  while (begin < end) {
    // The largest box that starts at `begin`: free in the dims after d, one index in the dims
    // before d.
    int64_t inner = 1;  // elements of one index of dim d
    int d = dims - 1;
    while (d > 0 && begin % (inner * shape[d]) == 0 && begin + inner * shape[d] <= end) {
      inner *= shape[d];
      --d;
    }
    Slice slice = Slice::Whole(shape);
    int64_t outer = begin / inner;  // index over dims 0..d, flattened
    const int64_t at = d >= 0 ? outer % shape[d] : 0;
    const int64_t count = dims == 0 ? 1 : std::min(shape[d] - at, (end - begin) / inner);
    if (d >= 0) {
      slice.begin[d] = at;
      slice.end[d] = at + count;
      outer /= shape[d];
    }
    for (int k = d - 1; k >= 0; --k) {
      slice.begin[k] = outer % shape[k];
      slice.end[k] = slice.begin[k] + 1;
      outer /= shape[k];
    }
    slices.push_back(slice);
    begin += count * inner;
  }
  return slices;
}

}  // namespace moat::parallel
