// Where the bytes of an input come from: a file or standard input, decompressed where need be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace moat::data::formats {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Up to `size` bytes; 0 at the end only. Throws DataError for bytes that cannot be decompressed,
  // StorageError where reading fails; both name the file.
  virtual size_t Read(char* out, size_t size) = 0;
};

constexpr const char* kStandardInput = "-";

// A path, or kStandardInput. Gzip, zstd and xz are told by their first bytes, whatever the name;
// members or frames one after the other are one text. Memory does not depend on the input's size
// (windows above 128 MiB are refused). Throws ConfigError for a file that cannot be opened.
std::unique_ptr<ByteSource> OpenBytes(const std::string& path);

// The same over bytes that come from elsewhere; `name` is for messages.
std::unique_ptr<ByteSource> Decompressed(std::unique_ptr<ByteSource> source,
                                         const std::string& name);

}  // namespace moat::data::formats
