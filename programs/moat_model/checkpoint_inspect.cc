// moat checkpoint inspect: a manifest in words, and one tensor closely.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "checkpoint/statistics.h"
#include "core/units.h"
#include "programs/moat_model/checkpoint_commands.h"
#include "programs/moat_model/checkpoint_place.h"

namespace moat::programs {
namespace {

using checkpoint::Manifest;
using checkpoint::Piece;
using checkpoint::TensorEntry;
using checkpoint::TensorStatistics;
using nlohmann::ordered_json;

int64_t BytesOf(const TensorEntry& tensor) {
  return tensor.shape.elements() * core::SizeOf(tensor.dtype);
}

ordered_json PiecesToJson(const TensorEntry& tensor) {
  ordered_json pieces = ordered_json::array();
  for (const Piece& piece : tensor.pieces) {
    pieces.push_back({{"slice", piece.slice.text()},
                      {"file", piece.file},
                      {"offset", piece.offset},
                      {"bytes", piece.bytes}});
  }
  return pieces;
}

ordered_json ToJson(const std::string& name, const TensorEntry& tensor) {
  return {{"name", name},
          {"dtype", core::Name(tensor.dtype)},
          {"shape", tensor.shape.dims()},
          {"bytes", BytesOf(tensor)},
          {"pieces", PiecesToJson(tensor)}};
}

ordered_json ToJson(const TensorStatistics& statistics) {
  return {{"elements", statistics.elements},
          {"nans", statistics.nans},
          {"infinities", statistics.infinities},
          {"min", statistics.min},
          {"max", statistics.max},
          {"mean", statistics.mean},
          {"rms", statistics.rms}};
}

ordered_json ToJson(const std::string& directory, const Manifest& manifest) {
  ordered_json json = {{"directory", directory},
                       {"version", manifest.version},
                       {"run_id", manifest.position.run_id},
                       {"step", manifest.position.step},
                       {"lineage", manifest.position.lineage},
                       {"values", ordered_json::object()},
                       {"files", ordered_json::object()},
                       {"tensors", ordered_json::array()}};
  for (const auto& [name, value] : manifest.position.values) {
    json["values"][name] = ordered_json::parse(value);
  }
  for (const auto& [name, file] : manifest.files) json["files"][name] = file.bytes;
  for (const auto& [name, tensor] : manifest.tensors) {
    json["tensors"].push_back(ToJson(name, tensor));
  }
  return json;
}

// An object's members each on a line of their own: config identity, data version, sample hash.
void PrintValue(const std::string& name, const std::string& text) {
  const auto value = ordered_json::parse(text);
  if (!value.is_object()) {
    std::cout << name << ": " << text << "\n";
    return;
  }
  std::cout << name << "\n";
  for (const auto& [key, member] : value.items()) {
    std::cout << "  " << key << ": "
              << (member.is_string() ? member.get<std::string>() : member.dump()) << "\n";
  }
}

void PrintManifest(const std::string& directory, const Manifest& manifest) {
  std::cout << directory << ": step " << manifest.position.step << " of run "
            << manifest.position.run_id << ", format version " << manifest.version << "\nlineage:";
  for (const std::string& name : manifest.position.lineage) std::cout << " " << name;
  std::cout << (manifest.position.lineage.empty() ? " none: the run's first\n" : "\n");
  for (const auto& [name, value] : manifest.position.values) PrintValue(name, value);
  int64_t bytes = 0, elements = 0;
  for (const auto& [name, file] : manifest.files) bytes += file.bytes;
  for (const auto& [name, tensor] : manifest.tensors) elements += tensor.shape.elements();
  std::cout << manifest.files.size() << " files, " << core::Format(core::Bytes(bytes)) << "\n";
  for (const auto& [name, file] : manifest.files) {
    std::cout << "  " << name << "  " << core::Format(core::Bytes(file.bytes)) << "\n";
  }
  std::cout << manifest.tensors.size() << " tensors, "
            << core::FormatCount(static_cast<double>(elements)) << " elements\n";
  for (const auto& [name, tensor] : manifest.tensors) {
    std::cout << "  " << name << "  " << core::Name(tensor.dtype) << " " << tensor.shape.text()
              << "  " << core::Format(core::Bytes(BytesOf(tensor))) << " in "
              << tensor.pieces.size() << (tensor.pieces.size() == 1 ? " piece\n" : " pieces\n");
  }
}

void PrintTensor(const std::string& name, const TensorEntry& tensor,
                 const TensorStatistics& statistics) {
  std::cout << name << ": " << core::Name(tensor.dtype) << " " << tensor.shape.text() << ", "
            << core::Format(core::Bytes(BytesOf(tensor))) << "\n";
  for (const Piece& piece : tensor.pieces) {
    std::cout << "  [" << piece.slice.text() << "] at byte " << piece.offset << " of " << piece.file
              << ", " << core::Format(core::Bytes(piece.bytes)) << "\n";
  }
  char text[240];
  std::snprintf(text, sizeof text,
                "min %.9g  max %.9g  mean %.9g  rms %.9g  over %lld elements, %lld NaN, %lld "
                "infinite\n",
                statistics.min, statistics.max, statistics.mean, statistics.rms,
                static_cast<long long>(statistics.elements),
                static_cast<long long>(statistics.nans),
                static_cast<long long>(statistics.infinities));
  std::cout << text;
}

}  // namespace

int CheckpointInspect(const configs::CommandLine& line) {
  const std::string directory = OneCheckpoint(line.value("run_root"), line.positional().front());
  const Manifest manifest = checkpoint::ReadManifest(directory);
  const std::string name = line.value("tensor");
  if (!name.empty()) {
    const TensorStatistics statistics = checkpoint::MeasureTensor(directory, manifest, name);
    const TensorEntry& tensor = manifest.tensors.at(name);
    if (line.Bool("json")) {
      ordered_json json = ToJson(name, tensor);
      json["statistics"] = ToJson(statistics);
      std::cout << json.dump() << "\n";
    } else {
      PrintTensor(name, tensor, statistics);
    }
  } else if (line.Bool("json")) {
    std::cout << ToJson(directory, manifest).dump() << "\n";
  } else {
    PrintManifest(directory, manifest);
  }
  return 0;
}

}  // namespace moat::programs
