// The manifest as text. One line per member, file and tensor, so that people and diff can read it.
#include "checkpoint/manifest/manifest.h"

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "core/crc32c.h"
#include "core/durable_file.h"
#include "core/error.h"

namespace moat::checkpoint {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kFormat[] = "moat.checkpoint";
// The text ends with exactly these bytes around eight hexadecimal digits.
constexpr char kTailBegin[] = "\"crc32c\":\"";
constexpr char kTailEnd[] = "\"}\n";
constexpr size_t kTailSize = sizeof kTailBegin - 1 + 8 + sizeof kTailEnd - 1;

std::string Hex(uint32_t value) {
  char text[16];
  std::snprintf(text, sizeof text, "%08x", value);
  return text;
}

uint32_t ParseHex(const std::string& text) {
  if (text.size() != 8 || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
    throw core::DataError("'" + text + "' is not a CRC of eight hexadecimal digits");
  }
  return static_cast<uint32_t>(std::strtoul(text.c_str(), nullptr, 16));
}

Json ToJson(const TensorEntry& tensor) {
  Json pieces = Json::array();
  for (const Piece& piece : tensor.pieces) {
    pieces.push_back({{"slice", piece.slice.text()},
                      {"file", piece.file},
                      {"offset", piece.offset},
                      {"bytes", piece.bytes},
                      {"crc32c", Hex(piece.crc32c)}});
  }
  return {{"dtype", core::Name(tensor.dtype)}, {"shape", tensor.shape.dims()}, {"pieces", pieces}};
}

TensorEntry TensorFromJson(const Json& json) {
  TensorEntry tensor;
  tensor.dtype = core::ParseDType(json.at("dtype").get<std::string>());
  tensor.shape = core::Shape(json.at("shape").get<std::vector<int64_t>>());
  for (const Json& from : json.at("pieces")) {
    Piece piece;
    piece.slice = parallel::Slice::Parse(from.at("slice").get<std::string>());
    piece.file = from.at("file").get<std::string>();
    piece.offset = from.at("offset").get<int64_t>();
    piece.bytes = from.at("bytes").get<int64_t>();
    piece.crc32c = ParseHex(from.at("crc32c").get<std::string>());
    tensor.pieces.push_back(std::move(piece));
  }
  return tensor;
}

// `"name":{` and one line per entry, `},` at the end.
template <typename Map, typename Convert>
std::string Section(const char* name, const Map& map, const Convert& convert) {
  std::string text = Json(name).dump() + ":{";
  const char* separator = "\n ";
  for (const auto& [key, value] : map) {
    text += separator + Json(key).dump() + ":" + convert(value);
    separator = ",\n ";
  }
  return text + "\n},\n";
}

// The text without its tail, when the CRC in the tail is its own.
void CheckTail(const std::string& text) {
  const size_t begin = text.size() < kTailSize ? 0 : text.size() - kTailSize;
  const std::string tail = text.substr(begin);
  const size_t digits = sizeof kTailBegin - 1;
  if (tail.size() != kTailSize || tail.compare(0, digits, kTailBegin) != 0 ||
      tail.compare(digits + 8, std::string::npos, kTailEnd) != 0) {
    throw core::DataError("the text does not end with its CRC: it is truncated or damaged");
  }
  const uint32_t stored = ParseHex(tail.substr(digits, 8));
  const uint32_t found = core::Crc32c(text.data(), begin);
  if (stored != found) {
    throw core::DataError("the text is damaged: its CRC is " + Hex(found) + ", " + Hex(stored) +
                          " was stored");
  }
}

Manifest FromCheckedText(const std::string& text) {
  CheckTail(text);
  const Json json = Json::parse(text);
  if (json.at("format").get<std::string>() != kFormat) {
    throw core::DataError("not a manifest of moat.checkpoint");
  }
  Manifest manifest;
  manifest.version = json.at("version").get<int>();
  if (manifest.version < 1 || manifest.version > kManifestVersion) {
    throw core::DataError("version " + std::to_string(manifest.version) +
                          " is not known here (up to " + std::to_string(kManifestVersion) +
                          "); use the moat that wrote it, or a newer one");
  }
  manifest.position.run_id = json.at("run_id").get<std::string>();
  manifest.position.step = json.at("step").get<int64_t>();
  manifest.position.lineage = json.at("lineage").get<std::vector<std::string>>();
  for (const auto& [key, value] : json.at("values").items()) {
    manifest.position.values[key] = value.dump();
  }
  for (const auto& [name, file] : json.at("files").items()) {
    manifest.files[name] = {file.at("bytes").get<int64_t>(), file.at("header_bytes").get<int64_t>(),
                            ParseHex(file.at("header_crc32c").get<std::string>())};
  }
  for (const auto& [name, tensor] : json.at("tensors").items()) {
    manifest.tensors[name] = TensorFromJson(tensor);
  }
  return manifest;
}

}  // namespace

std::string Manifest::ToText() const {
  std::string text = "{\"format\":" + Json(kFormat).dump() +
                     ",\n\"version\":" + std::to_string(version) +
                     ",\n\"run_id\":" + Json(position.run_id).dump() +
                     ",\n\"step\":" + std::to_string(position.step) +
                     ",\n\"lineage\":" + Json(position.lineage).dump() + ",\n";
  text += Section("values", position.values, [](const std::string& value) {
    const Json json = Json::parse(value, nullptr, /*allow_exceptions=*/false);
    MOAT_CHECK(!json.is_discarded(), "a value of a manifest must be JSON: " + value);
    return json.dump();
  });
  text += Section("files", files, [](const FileEntry& file) {
    return Json({{"bytes", file.bytes},
                 {"header_bytes", file.header_bytes},
                 {"header_crc32c", Hex(file.header_crc32c)}})
        .dump();
  });
  text +=
      Section("tensors", tensors, [](const TensorEntry& entry) { return ToJson(entry).dump(); });
  return text + kTailBegin + Hex(core::Crc32c(text.data(), text.size())) + kTailEnd;
}

Manifest Manifest::Parse(const std::string& text, const std::string& where) {
  try {
    return FromCheckedText(text);
  } catch (const nlohmann::json::exception& error) {
    throw core::DataError(where + ": " + error.what());
  } catch (const core::Error& error) {
    throw core::DataError(where + ": " + error.what());
  }
}

Manifest Manifest::FromText(const std::string& text, const std::string& where) {
  Manifest manifest = Parse(text, where);
  manifest.Validate(where);
  return manifest;
}

Manifest ReadManifest(const std::filesystem::path& directory) {
  const std::filesystem::path path = directory / kManifestName;
  std::string text;
  try {
    text = core::ReadWholeFile(path);
  } catch (const core::StorageError& error) {
    throw core::DataError(directory.string() + " is not a checkpoint: " + error.what());
  }
  return Manifest::FromText(text, path.string());
}

}  // namespace moat::checkpoint
