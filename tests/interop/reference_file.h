// A reference file: what another library says of a model, as make_references.py wrote it.
#pragma once

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "configs/model_config.h"
#include "core/durable_file.h"
#include "core/error.h"

namespace moat::testing {

inline std::filesystem::path InteropFolder() {
  return std::filesystem::path(MOAT_SOURCE_DIR) / "tests/interop";
}

class ReferenceFile {
 public:
  explicit ReferenceFile(const std::string& name)
      : path_(InteropFolder() / "references" / (name + ".safetensors")),
        file_(checkpoint::ReadSafetensorsHeader(path_)) {}

  const std::string& metadata(const std::string& key) const {
    return file_.header.metadata.at(key);
  }
  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : file_.header.entries) names.push_back(entry.name);
    return names;
  }

  // T: float, double or int32_t, as stored.
  template <typename T>
  std::vector<T> Values(const std::string& name) const {
    for (const auto& entry : file_.header.entries) {
      if (entry.name != name) continue;
      MOAT_CHECK(entry.dtype == core::DTypeOf<T>::value, name + " is stored as another type");
      std::vector<T> values(static_cast<size_t>(entry.shape.elements()));
      const core::FileReader reader(path_);
      reader.ReadAt(file_.header_bytes + entry.begin, values.data(), values.size() * sizeof(T));
      return values;
    }
    throw core::DataError(path_.string() + " has no " + name);
  }

  configs::ModelConfig config() const {
    const auto json = nlohmann::json::parse(metadata("config"));
    configs::ModelConfig c;
    c.vocab_size = json.at("vocab_size");
    c.layers = json.at("layers");
    c.width = json.at("width");
    c.heads = json.at("heads");
    c.kv_heads = json.at("kv_heads");
    c.ffn = json.at("ffn");
    c.seq_len = json.at("seq_len");
    c.norm = json.at("norm") == "layer" ? configs::Norm::kLayer : configs::Norm::kRms;
    c.position =
        json.at("position") == "learned" ? configs::Position::kLearned : configs::Position::kRotary;
    c.mlp = json.at("mlp") == "gelu" ? configs::Mlp::kGelu : configs::Mlp::kSwiglu;
    c.tie_embeddings = json.at("tie_embeddings");
    c.bias = json.at("bias");
    c.rotary_base = json.at("rotary_base");
    c.norm_epsilon = json.at("norm_epsilon");
    return c;
  }

 private:
  std::filesystem::path path_;
  checkpoint::SafetensorsFile file_;
};

}  // namespace moat::testing
