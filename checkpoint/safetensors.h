// The header of a safetensors file, written and read: the only part of the format with structure.
//
// A file is an 8-byte little-endian length, that many bytes of JSON padded with spaces so that data
// begins at a multiple of 8, then the tensors' bytes without gaps, in the order of the header.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/dtype.h"
#include "core/shape.h"

namespace moat::checkpoint {

struct SafetensorsEntry {
  std::string name;
  core::DType dtype = core::DType::kF32;
  core::Shape shape;
  int64_t begin = 0;  // bytes from the start of the data
  int64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsEntry> entries;  // in order of their bytes
};

// Length and JSON, ready to be written: the data follows at once. Sets begin and end of the entries
// to their places in the order given.
std::string SafetensorsHeaderText(SafetensorsHeader* header);

// The header of a file, and where its data begins. Throws DataError naming the file when it is not
// a safetensors file or its entries leave gaps; StorageError when it cannot be read.
struct SafetensorsFile {
  SafetensorsHeader header;
  int64_t header_bytes = 0;  // length and JSON
};
SafetensorsFile ReadSafetensorsHeader(const std::filesystem::path& path);

}  // namespace moat::checkpoint
