// What changes of a data set that were killed left in its directory.
#pragma once

#include <cstdint>
#include <filesystem>

#include "data/index.h"

namespace moat::data {

// An append works in DIR/.append.importing-<digest>: data/build_directory.h.
inline constexpr const char* kAppendDirectory = "append";

// Removes every file in DIR/shards that the index does not name. Returns how many. REQUIRES, here
// and below: the caller holds the data set's lock.
int64_t RemoveUnnamedShards(const std::filesystem::path& directory, const Index& index);

// Those, and what an append that was killed worked with. Returns the same.
int64_t RemoveLeftovers(const std::filesystem::path& directory, const Index& index);

}  // namespace moat::data
