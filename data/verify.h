// `moat data verify`: every byte of a data set against its checksums, and what must hold besides.
#pragma once

#include <cstdint>
#include <filesystem>

namespace moat::data {

struct VerifyReport {
  int64_t shards = 0;
  int64_t interactions = 0;
  int64_t tokens = 0;
  int64_t bytes = 0;      // of shard files
  int64_t rewritten = 0;  // shards that another program rewrote: the same data, read more slowly
};

// Checks the index, the tokenizer's and the template's digests, and per shard: the size, the HDF5
// attributes, addresses and CRC datasets against the index, every CRC, the content digest, and that
// every interaction follows the template. Shards are verified `threads` at a time (0: all cores),
// with a line about progress every few seconds. Throws DataError naming file, dataset and row; of
// several damaged shards the first that was found.
VerifyReport Verify(const std::filesystem::path& directory, int threads = 0);

}  // namespace moat::data
