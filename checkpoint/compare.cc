// Comparing piece by piece: every box that a piece of the one has in common with one of the other.
#include "checkpoint/compare.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "checkpoint/box_reader.h"
#include "checkpoint/statistics.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;
using parallel::Slice;

constexpr int64_t kComparedAtOnce = 1 << 18;  // elements

// The index of the n-th element of `box` in its tensor.
std::vector<int64_t> IndexIn(const Slice& box, int64_t n) {
  std::vector<int64_t> index(box.begin.size());
  for (size_t d = index.size(); d-- > 0;) {
    const int64_t extent = box.end[d] - box.begin[d];
    index[d] = box.begin[d] + n % extent;
    n /= extent;
  }
  return index;
}

// Takes in what one stretch adds: in row-major order itself, though stretches come in any.
void AddStretch(const Slice& stretch, core::DType dtype, const std::vector<char>& a,
                const std::vector<char>& b, TensorDifference* difference) {
  if (a == b) return;
  const auto size = static_cast<size_t>(core::SizeOf(dtype));
  const std::vector<double> values_a = ToDoubles(a, dtype), values_b = ToDoubles(b, dtype);
  bool first = true;
  for (size_t i = 0; i < values_a.size(); ++i) {
    if (std::memcmp(a.data() + i * size, b.data() + i * size, size) == 0) continue;
    const double from = values_a[i], to = values_b[i];
    if (std::isfinite(from) && std::isfinite(to)) {
      const double distance = std::abs(from - to), scale = std::max(std::abs(from), std::abs(to));
      difference->max_absolute = std::max(difference->max_absolute, distance);
      if (scale > 0)
        difference->max_relative = std::max(difference->max_relative, distance / scale);
    } else {
      ++difference->not_comparable;
    }
    const bool known = difference->differing++ > 0;
    if (!std::exchange(first, false)) continue;
    std::vector<int64_t> index = IndexIn(stretch, static_cast<int64_t>(i));
    if (known && index >= difference->first) continue;
    difference->first = std::move(index);
    difference->first_a = from;
    difference->first_b = to;
  }
}

struct Side {
  Side(fs::path path)  // NOLINT(google-explicit-constructor): only made in Compare
      : directory(std::move(path)),
        manifest(ReadManifest(directory)),
        reader(directory, manifest) {}
  const TensorEntry& Tensor(const std::string& name) const { return manifest.tensors.at(name); }
  fs::path directory;
  Manifest manifest;
  BoxReader reader;
};

std::optional<TensorDifference> CompareTensor(const std::string& name, Side& a, Side& b) {
  const core::DType dtype = a.Tensor(name).dtype;
  TensorDifference difference;
  difference.tensor = name;
  difference.elements = a.Tensor(name).shape.elements();
  a.reader.Check(name);
  b.reader.Check(name);
  for (const Piece& one : a.Tensor(name).pieces) {
    for (const Piece& other : b.Tensor(name).pieces) {
      const Slice common = parallel::Intersect(one.slice, other.slice);
      if (common.elements() == 0) continue;
      ForEachStretch(common, {&one.slice, &other.slice}, kComparedAtOnce,
                     [&](const Slice& stretch) {
                       AddStretch(stretch, dtype, a.reader.Read(one, dtype, stretch),
                                  b.reader.Read(other, dtype, stretch), &difference);
                     });
    }
  }
  if (difference.differing == 0) return std::nullopt;
  return difference;
}

std::string Kind(const TensorEntry& tensor) {
  return std::string(core::Name(tensor.dtype)) + " " + tensor.shape.text();
}

// "progress.updates" -> "12": members of objects one by one, since most of them are equal.
std::map<std::string, std::string> PositionOf(const Manifest& manifest) {
  std::map<std::string, std::string> values;
  for (const auto& [name, text] : manifest.position.values) {
    const auto value = nlohmann::json::parse(text);
    if (!value.is_object()) {
      values[name] = text;
      continue;
    }
    for (const auto& [member, inner] : value.items()) values[name + "." + member] = inner.dump();
  }
  values["run_id"] = manifest.position.run_id;
  values["step"] = std::to_string(manifest.position.step);
  std::string lineage;
  for (const std::string& name : manifest.position.lineage) {
    lineage += (lineage.empty() ? "" : ", ") + name;
  }
  values["lineage"] = lineage;
  return values;
}

void ComparePositions(const Side& a, const Side& b, CheckpointDifference* difference) {
  const auto of_a = PositionOf(a.manifest), of_b = PositionOf(b.manifest);
  std::map<std::string, std::pair<std::string, std::string>> both;
  for (const auto& [name, value] : of_a) both[name].first = value;
  for (const auto& [name, value] : of_b) both[name].second = value;
  std::erase_if(both, [](const auto& entry) { return entry.second.first == entry.second.second; });
  difference->position = std::move(both);
}

}  // namespace

CheckpointDifference Compare(const fs::path& path_a, const fs::path& path_b) {
  Side a(path_a), b(path_b);
  CheckpointDifference difference;
  ComparePositions(a, b, &difference);
  for (const auto& [name, tensor] : a.manifest.tensors) {
    const auto other = b.manifest.tensors.find(name);
    if (other == b.manifest.tensors.end()) {
      difference.only_a.push_back(name);
    } else if (Kind(tensor) != Kind(other->second)) {
      difference.kinds[name] = {Kind(tensor), Kind(other->second)};
    } else if (auto found = CompareTensor(name, a, b)) {
      difference.tensors.push_back(*std::move(found));
    } else {
      ++difference.same;
    }
  }
  for (const auto& [name, tensor] : b.manifest.tensors) {
    if (!a.manifest.tensors.contains(name)) difference.only_b.push_back(name);
  }
  return difference;
}

}  // namespace moat::checkpoint
