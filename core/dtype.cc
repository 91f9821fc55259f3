// Names and sizes of element types.
#include "core/dtype.h"

#include "core/error.h"
#include "core/float8.h"

namespace moat::core {
namespace {

struct Row {
  DType dtype;
  const char* name;
  int64_t size;
};
constexpr Row kRows[] = {
    {DType::kF32, "f32", 4},   {DType::kBF16, "bf16", 2}, {DType::kF64, "f64", 8},
    {DType::kU8, "u8", 1},     {DType::kU16, "u16", 2},   {DType::kU32, "u32", 4},
    {DType::kI32, "i32", 4},   {DType::kU64, "u64", 8},   {DType::kI64, "i64", 8},
    {DType::kE4M3, "e4m3", 1}, {DType::kE5M2, "e5m2", 1}};

}  // namespace

int64_t SizeOf(DType dtype) { return kRows[static_cast<int>(dtype)].size; }

const char* Name(DType dtype) { return kRows[static_cast<int>(dtype)].name; }

DType ParseDType(std::string_view name) {
  std::string known;
  for (const Row& row : kRows) {
    if (IsFloat8(row.dtype)) continue;
    if (name == row.name) return row.dtype;
    known += std::string(known.empty() ? "" : ", ") + row.name;
  }
  throw ConfigError("dtype '" + std::string(name) + "' is not one of: " + known);
}

}  // namespace moat::core
