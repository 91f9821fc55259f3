// Shards through the HDF5 library.
#include "data/hdf5_shard.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "core/dtype.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "data/hdf5_handle.h"
#include "data/shard_format.h"

namespace moat::data {

struct Hdf5Shard::State {
  explicit State(const std::filesystem::path& file_path)
      : path(file_path),
        bytes(file_path),
        access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose),
        file(Open(), H5Fclose) {}

  hid_t Open() {
    SilenceHdf5();
#if H5_VERSION_GE(1, 10, 7)
    H5Pset_file_locking(access, false, true);  // network file systems refuse locks
#endif
    const hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access);
    Check(id >= 0, "HDF5 cannot open it: " + Hdf5Problem());
    return id;
  }

  Hid OpenDataset(const std::string& name, core::DType dtype, int64_t count) const {
    Hid dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
    Check(dataset.valid(), "no dataset " + name);
    Hid type(H5Dget_type(dataset), H5Tclose);
    Check(H5Tequal(type, Hdf5Type(dtype)) > 0,
          "dataset " + name + " is not of type " + core::Name(dtype));
    Hid space(H5Dget_space(dataset), H5Sclose);
    Check(H5Sget_simple_extent_ndims(space) == 1 &&
              H5Sget_simple_extent_npoints(space) == static_cast<hssize_t>(count),
          "dataset " + name + " has another shape than the index says");
    return dataset;
  }
  Hid OpenDataset(const StoredArray& array) const {
    return OpenDataset(array.name, core::ParseDType(array.dtype), array.count);
  }

  // Elements [first, first + count). HDF5 trusts what a file says about itself and may read past
  // the ends of its own buffers, so data that lies in one piece is read without it.
  void Read(const Hid& dataset, const std::string& name, core::DType dtype, int64_t first,
            int64_t count, void* out) const {
    const Hid properties(H5Dget_create_plist(dataset), H5Pclose);
    const H5D_layout_t layout = H5Pget_layout(properties);
    Check(layout == H5D_CONTIGUOUS || layout == H5D_CHUNKED,
          "dataset " + name + " is neither contiguous nor chunked");
    if (layout == H5D_CONTIGUOUS) {
      const int64_t width = core::SizeOf(dtype);
      const haddr_t address = H5Dget_offset(dataset);
      const auto size = static_cast<haddr_t>((first + count) * width);
      const auto end = static_cast<haddr_t>(bytes.size());
      Check(address != HADDR_UNDEF && size <= end && address <= end - size,
            "dataset " + name + " lies outside the file");
      bytes.ReadAt(static_cast<int64_t>(address) + first * width, out,
                   static_cast<size_t>(count * width));
      return;
    }
    const auto begin = static_cast<hsize_t>(first), length = static_cast<hsize_t>(count);
    const Hid from(H5Dget_space(dataset), H5Sclose);
    const Hid to(H5Screate_simple(1, &length, nullptr), H5Sclose);
    H5Sselect_hyperslab(from, H5S_SELECT_SET, &begin, nullptr, &length, nullptr);
    Check(
        H5Dread(dataset, Hdf5Type(dtype), to, from, H5P_DEFAULT, out) >= 0,
        "dataset " + name + ", row " + std::to_string(first) + " cannot be read: " + Hdf5Problem());
  }

  void CheckNumber(const char* name, uint64_t expected) const {
    uint64_t found = 0;
    Hid attribute(H5Aopen(file, name, H5P_DEFAULT), H5Aclose);
    Check(attribute.valid() && H5Aread(attribute, H5T_NATIVE_UINT64, &found) >= 0,
          std::string("attribute ") + name + " cannot be read");
    Check(found == expected, std::string("attribute ") + name + ": expected " +
                                 std::to_string(expected) + ", found " + std::to_string(found));
  }

  void CheckText(const char* name, const std::string& expected) const {
    Hid attribute(H5Aopen(file, name, H5P_DEFAULT), H5Aclose);
    Check(attribute.valid(), std::string("no attribute ") + name);
    Hid type(H5Aget_type(attribute), H5Tclose);
    const bool fits = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
                      H5Tget_size(type) == expected.size();
    std::string found(expected.size(), '\0');
    Check(fits && H5Aread(attribute, type, found.data()) >= 0 && found == expected,
          std::string("attribute ") + name + ": expected " + expected);
  }

  void Check(bool good, const std::string& what) const {
    if (!good) {
      throw core::DataError(path.string() + ": " + what +
                            "; import the data again or restore a copy");
    }
  }

  std::filesystem::path path;
  core::FileReader bytes;
  Hid access;
  Hid file;
};

Hdf5Shard::Hdf5Shard(const std::filesystem::path& path) {
  const std::lock_guard lock(Hdf5Lock());
  state_ = std::make_unique<State>(path);
}

Hdf5Shard::~Hdf5Shard() {
  const std::lock_guard lock(Hdf5Lock());
  state_.reset();
}

void Hdf5Shard::CheckNumber(const char* name, uint64_t expected) const {
  const std::lock_guard lock(Hdf5Lock());
  state_->CheckNumber(name, expected);
}

void Hdf5Shard::CheckText(const char* name, const std::string& expected) const {
  const std::lock_guard lock(Hdf5Lock());
  state_->CheckText(name, expected);
}

void Hdf5Shard::CheckEntry(const ShardEntry& entry) const {
  const std::lock_guard lock(Hdf5Lock());
  state_->CheckNumber("interactions", static_cast<uint64_t>(entry.interactions));
  state_->CheckNumber("segments", static_cast<uint64_t>(entry.segments));
  state_->CheckNumber("tokens", static_cast<uint64_t>(entry.tokens));
  state_->CheckText("content_digest", entry.content_digest);
  for (const StoredArray& array : entry.arrays) state_->OpenDataset(array);
}

void Hdf5Shard::CheckAddress(const StoredArray& array) const {
  const std::lock_guard lock(Hdf5Lock());
  const Hid dataset = state_->OpenDataset(array);
  state_->Check(H5Dget_offset(dataset) == static_cast<haddr_t>(array.offset),
                "dataset " + array.name + " is not at its address in the index");
}

void Hdf5Shard::CheckCrcs(const StoredArray& array) const {
  const std::lock_guard lock(Hdf5Lock());
  const std::string name = std::string(shard::kCrcGroup) + "/" + array.name;
  const auto blocks = static_cast<int64_t>(array.crc32c.size());
  std::vector<uint32_t> stored(array.crc32c.size());
  state_->Read(state_->OpenDataset(name, core::DType::kU32, blocks), name, core::DType::kU32, 0,
               blocks, stored.data());
  const auto [found, expected] = std::mismatch(stored.begin(), stored.end(), array.crc32c.begin());
  state_->Check(found == stored.end(), "dataset " + name + ", row " +
                                           std::to_string(found - stored.begin()) +
                                           ": not the CRC in the index");
}

void Hdf5Shard::Read(const StoredArray& array, int64_t first_byte, int64_t size, void* out) const {
  const std::lock_guard lock(Hdf5Lock());
  const core::DType dtype = core::ParseDType(array.dtype);
  const int64_t width = core::SizeOf(dtype);
  state_->Read(state_->OpenDataset(array), array.name, dtype, first_byte / width, size / width,
               out);
}

}  // namespace moat::data
