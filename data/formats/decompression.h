// Decompressors, each a byte source over another one.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "data/formats/byte_source.h"

namespace moat::data::formats {

using Decompressor = std::unique_ptr<ByteSource> (*)(std::unique_ptr<ByteSource> source,
                                                     const std::string& name);

constexpr size_t kLongestMagic = 6;

// By the first bytes of a file; null for what is not compressed.
Decompressor DecompressorFor(std::string_view start);

}  // namespace moat::data::formats
