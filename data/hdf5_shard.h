// A shard as HDF5 itself sees it: what verification compares with the index, and a slow way to read
// shards that another program rewrote (h5repack --filter=GZIP=6, say).
//
// HDF5 is one library with one state: every call here holds Hdf5Lock().
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "data/dataset.h"

namespace moat::data {

class Hdf5Shard {
 public:
  explicit Hdf5Shard(const std::filesystem::path& path);  // throws DataError
  ~Hdf5Shard();
  Hdf5Shard(const Hdf5Shard&) = delete;

  // Root attributes. DataError when one is absent or has another value.
  void CheckNumber(const char* name, uint64_t expected) const;
  void CheckText(const char* name, const std::string& expected) const;

  // The counts and the content digest of `entry`, and its datasets' types and shapes.
  void CheckEntry(const ShardEntry& entry) const;

  // That the dataset begins at its address in the index, in one piece.
  void CheckAddress(const StoredArray& array) const;
  // That crc32c/<dataset> holds what the index holds.
  void CheckCrcs(const StoredArray& array) const;

  // Bytes of a dataset, through whatever filters it has. REQUIRES: whole elements; CheckEntry().
  void Read(const StoredArray& array, int64_t first_byte, int64_t size, void* out) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moat::data
