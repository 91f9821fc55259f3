// safetensors headers.
#include "checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/durable_file.h"
#include "core/error.h"

namespace moat::checkpoint {
namespace {

using Json = nlohmann::ordered_json;

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kAlignment = 8;
constexpr uint64_t kLargestHeader = 100'000'000;  // as in the reference implementation

struct DTypeName {
  core::DType dtype;
  const char* name;
};
constexpr DTypeName kNames[] = {
    {core::DType::kF32, "F32"}, {core::DType::kBF16, "BF16"}, {core::DType::kF64, "F64"},
    {core::DType::kU8, "U8"},   {core::DType::kU16, "U16"},   {core::DType::kU32, "U32"},
    {core::DType::kI32, "I32"}, {core::DType::kU64, "U64"},   {core::DType::kI64, "I64"}};

const char* NameOf(core::DType dtype) {
  for (const DTypeName& known : kNames) {
    if (known.dtype == dtype) return known.name;
  }
  throw core::BugError(std::string("safetensors has no name for ") + core::Name(dtype));
}

core::DType DTypeOfName(const std::string& name) {
  for (const DTypeName& known : kNames) {
    if (known.name == name) return known.dtype;
  }
  throw core::DataError("dtype '" + name + "' is not known here");
}

SafetensorsHeader Parse(const Json& json) {
  SafetensorsHeader header;
  for (const auto& [name, value] : json.items()) {
    if (name == "__metadata__") {
      header.metadata = value.get<std::map<std::string, std::string>>();
      continue;
    }
    SafetensorsEntry entry;
    entry.name = name;
    entry.dtype = DTypeOfName(value.at("dtype").get<std::string>());
    entry.shape = core::Shape(value.at("shape").get<std::vector<int64_t>>());
    const auto offsets = value.at("data_offsets").get<std::vector<int64_t>>();
    if (offsets.size() != 2) throw core::DataError("'" + name + "' needs two data_offsets");
    entry.begin = offsets[0];
    entry.end = offsets[1];
    header.entries.push_back(std::move(entry));
  }
  std::sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  return header;
}

void CheckTiled(const SafetensorsHeader& header, int64_t data_bytes) {
  int64_t at = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    int64_t bytes = core::SizeOf(entry.dtype);
    bool possible = true;
    for (const int64_t extent : entry.shape.dims()) {
      possible = possible && extent >= 0 && !__builtin_mul_overflow(bytes, extent, &bytes);
    }
    if (!possible || entry.begin != at || entry.end < at || entry.end - at != bytes) {
      throw core::DataError("'" + entry.name +
                            "' does not follow the tensor before it, or its size "
                            "is not that of its shape");
    }
    at = entry.end;
  }
  if (at != data_bytes) {
    throw core::DataError("its tensors have " + std::to_string(at) + " bytes, the file has " +
                          std::to_string(data_bytes) + " for them");
  }
}

}  // namespace

std::string SafetensorsHeaderText(SafetensorsHeader* header) {
  Json json = Json::object();
  json["__metadata__"] = header->metadata;
  int64_t at = 0;
  for (SafetensorsEntry& entry : header->entries) {
    entry.begin = at;
    at += entry.shape.elements() * core::SizeOf(entry.dtype);
    entry.end = at;
    MOAT_CHECK(!json.contains(entry.name), "a tensor is twice in a file: " + entry.name);
    json[entry.name] = {{"dtype", NameOf(entry.dtype)},
                        {"shape", entry.shape.dims()},
                        {"data_offsets", {entry.begin, entry.end}}};
  }
  std::string text = json.dump();
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  std::string length(kLengthBytes, '\0');
  for (int i = 0; i < kLengthBytes; ++i) {
    length[static_cast<size_t>(i)] = static_cast<char>(text.size() >> (8 * i));
  }
  return length + text;
}

SafetensorsFile ReadSafetensorsHeader(const std::filesystem::path& path) {
  const core::FileReader reader(path);
  try {
    if (reader.size() < kLengthBytes) throw core::DataError("shorter than a header");
    uint8_t length_bytes[kLengthBytes];
    reader.ReadAt(0, length_bytes, sizeof length_bytes);
    uint64_t length = 0;
    for (int i = 0; i < kLengthBytes; ++i) length |= uint64_t{length_bytes[i]} << (8 * i);
    if (length > kLargestHeader || static_cast<int64_t>(length) > reader.size() - kLengthBytes) {
      throw core::DataError("its header would have " + std::to_string(length) + " bytes");
    }
    std::string text(length, '\0');
    reader.ReadAt(kLengthBytes, text.data(), text.size());
    SafetensorsFile file;
    file.header_bytes = kLengthBytes + static_cast<int64_t>(length);
    file.header = Parse(Json::parse(text));
    CheckTiled(file.header, reader.size() - file.header_bytes);
    return file;
  } catch (const nlohmann::json::exception& error) {
    throw core::DataError(path.string() + " is not a safetensors file: " + error.what());
  } catch (const core::DataError& error) {
    throw core::DataError(path.string() + " is not a safetensors file: " + error.what());
  }
}

}  // namespace moat::checkpoint
