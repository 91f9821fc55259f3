// One pass over a tensor's pieces.
#include "checkpoint/statistics.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "checkpoint/box_reader.h"
#include "core/error.h"
#include "core/nearest.h"

namespace moat::checkpoint {
namespace {

constexpr int64_t kReadAtOnce = 1 << 18;  // elements

template <typename T>
std::vector<double> As(const std::vector<char>& bytes) {
  std::vector<double> values(bytes.size() / sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    if constexpr (std::is_same_v<T, core::BFloat16>) {
      values[i] = static_cast<float>(value);
    } else {
      values[i] = static_cast<double>(value);
    }
  }
  return values;
}

[[noreturn]] void RefuseUnknown(const Manifest& manifest, const std::string& directory,
                                const std::string& tensor) {
  std::vector<std::string> names;
  for (const auto& [name, entry] : manifest.tensors) names.push_back(name);
  const std::string nearest = core::NearestName(tensor, names);
  throw core::DataError(directory + " has no tensor '" + tensor + "'" +
                        (nearest.empty() ? "" : "; did you mean '" + nearest + "'?"));
}

}  // namespace

std::vector<double> ToDoubles(const std::vector<char>& bytes, core::DType dtype) {
  switch (dtype) {
    case core::DType::kF32:
      return As<float>(bytes);
    case core::DType::kBF16:
      return As<core::BFloat16>(bytes);
    case core::DType::kF64:
      return As<double>(bytes);
    case core::DType::kU8:
      return As<uint8_t>(bytes);
    case core::DType::kU16:
      return As<uint16_t>(bytes);
    case core::DType::kU32:
      return As<uint32_t>(bytes);
    case core::DType::kI32:
      return As<int32_t>(bytes);
    case core::DType::kU64:
      return As<uint64_t>(bytes);
    case core::DType::kI64:
      return As<int64_t>(bytes);
    case core::DType::kE4M3:
    case core::DType::kE5M2:
      break;  // never in a file
  }
  throw core::BugError(std::string("a file has no numbers in ") + core::Name(dtype));
}

TensorStatistics MeasureTensor(const std::filesystem::path& directory, const Manifest& manifest,
                               const std::string& tensor) {
  const auto found = manifest.tensors.find(tensor);
  if (found == manifest.tensors.end()) RefuseUnknown(manifest, directory.string(), tensor);
  BoxReader reader(directory, manifest);
  reader.Check(tensor);
  TensorStatistics result;
  double sum = 0, squares = 0;
  int64_t finite = 0;
  const auto add = [&](double value) {
    ++result.elements;
    if (std::isnan(value)) {
      ++result.nans;
    } else if (std::isinf(value)) {
      ++result.infinities;
    } else {
      result.min = finite == 0 ? value : std::min(result.min, value);
      result.max = finite == 0 ? value : std::max(result.max, value);
      sum += value;
      squares += value * value;
      ++finite;
    }
  };
  const core::DType dtype = found->second.dtype;
  for (const Piece& piece : found->second.pieces) {
    ForEachStretch(piece.slice, {&piece.slice}, kReadAtOnce, [&](const parallel::Slice& stretch) {
      for (const double value : ToDoubles(reader.Read(piece, dtype, stretch), dtype)) add(value);
    });
  }
  if (finite == 0) return result;
  result.mean = sum / static_cast<double>(finite);
  result.rms = std::sqrt(squares / static_cast<double>(finite));
  return result;
}

}  // namespace moat::checkpoint
