// The shard writer: plain contiguous HDF5 in its earliest format, so that any reader can open it.
#include "data/shard_writer.h"

#include <algorithm>
#include <filesystem>

#include "core/crc32c.h"
#include "core/digest.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "data/hdf5_handle.h"

namespace moat::data {
namespace {

// One HDF5 file being written. Every call that fails throws StorageError with HDF5's own words.
class Hdf5File {
 public:
  explicit Hdf5File(const std::filesystem::path& path)
      : path_(path), access_(H5Pcreate(H5P_FILE_ACCESS), H5Pclose), file_(Create(), H5Fclose) {}

  // Writes a one-dimensional contiguous dataset; its address in the file.
  int64_t Write(const std::string& name, core::DType dtype, int64_t count, const void* data) {
    const auto extent = static_cast<hsize_t>(count);
    Hid space(H5Screate_simple(1, &extent, nullptr), H5Sclose);
    Hid properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    H5Pset_layout(properties, H5D_CONTIGUOUS);
    H5Pset_obj_track_times(properties, false);  // equal content, equal bytes
    H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
    Hid dataset(H5Dcreate2(file_, name.c_str(), Hdf5Type(dtype), space, H5P_DEFAULT, properties,
                           H5P_DEFAULT),
                H5Dclose);
    Check(dataset.valid(), name);
    Check(H5Dwrite(dataset, Hdf5Type(dtype), H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0, name);
    const haddr_t offset = H5Dget_offset(dataset);
    Check(offset != HADDR_UNDEF && dataset.Reset() >= 0, name);
    return static_cast<int64_t>(offset);
  }

  void Group(const char* name) {
    Hid group(H5Gcreate2(file_, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
    Check(group.valid(), name);
  }

  void Attribute(const char* name, uint64_t value) {
    Hid space(H5Screate(H5S_SCALAR), H5Sclose);
    WriteAttribute(name, H5T_STD_U64LE, space, &value);
  }

  void Attribute(const char* name, const std::string& value) {
    Hid space(H5Screate(H5S_SCALAR), H5Sclose);
    Hid type(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(type, value.size());
    H5Tset_cset(type, H5T_CSET_UTF8);
    WriteAttribute(name, type, space, value.data());
  }

  void Close() { Check(file_.Reset() >= 0, "closing"); }

 private:
  hid_t Create() {
    SilenceHdf5();
    H5Pset_libver_bounds(access_, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18);
    const hid_t id = H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access_);
    Check(id >= 0, "creating");
    return id;
  }

  void WriteAttribute(const char* name, hid_t type, hid_t space, const void* value) {
    Hid attribute(H5Acreate2(file_, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
    Check(attribute.valid() && H5Awrite(attribute, type, value) >= 0, name);
  }

  void Check(bool good, const std::string& what) const {
    if (good) return;
    throw core::StorageError("cannot write " + path_.string() + " (" + what +
                             "): " + Hdf5Problem() + "; free space or choose another --out");
  }

  std::filesystem::path path_;
  Hid access_;
  Hid file_;
};

std::vector<uint32_t> BlockCrcs(const std::vector<uint8_t>& bytes) {
  std::vector<uint32_t> crcs;
  const auto block = static_cast<size_t>(shard::kCrcBlockBytes);
  for (size_t at = 0; at < bytes.size(); at += block) {
    crcs.push_back(core::Crc32c(bytes.data() + at, std::min(block, bytes.size() - at)));
  }
  return crcs;
}

void WriteShardFile(const std::filesystem::path& path, const ShardIdentity& identity,
                    const std::array<std::vector<uint8_t>, shard::kArrays>& bytes,
                    ShardEntry* entry) {
  Hdf5File file(path);
  file.Attribute("format", shard::kFormat);
  file.Attribute("version", uint64_t{shard::kVersion});
  file.Attribute("vocab_size", static_cast<uint64_t>(identity.vocab_size));
  file.Attribute("tokenizer_digest", identity.tokenizer_digest);
  file.Attribute("template_digest", identity.template_digest);
  file.Attribute("interactions", static_cast<uint64_t>(entry->interactions));
  file.Attribute("segments", static_cast<uint64_t>(entry->segments));
  file.Attribute("tokens", static_cast<uint64_t>(entry->tokens));
  file.Attribute("content_digest", entry->content_digest);
  file.Group(shard::kCrcGroup);
  for (size_t i = 0; i < bytes.size(); ++i) {
    StoredArray& array = entry->arrays[i];
    array.offset =
        file.Write(array.name, core::ParseDType(array.dtype), array.count, bytes[i].data());
    array.crc32c = BlockCrcs(bytes[i]);
    file.Write(std::string(shard::kCrcGroup) + "/" + array.name, core::DType::kU32,
               static_cast<int64_t>(array.crc32c.size()), array.crc32c.data());
  }
  file.Close();
}

}  // namespace

struct ContentDigest::State {
  core::Sha256 hash;
};

ContentDigest::ContentDigest() : state_(std::make_unique<State>()) {}
ContentDigest::~ContentDigest() = default;

void ContentDigest::Start(shard::Array array, core::DType dtype, int64_t count) {
  const auto size = static_cast<uint64_t>(count);
  state_->hash.Update(std::string(shard::kNames[array]) + '\0' + core::Name(dtype) + '\0');
  state_->hash.Update(&size, sizeof size);
}

void ContentDigest::Update(const void* data, size_t size) { state_->hash.Update(data, size); }

std::string ContentDigest::Finish() { return core::Hex(state_->hash.Finish()); }

ShardWriter::ShardWriter(ShardIdentity identity) : identity_(std::move(identity)) { Clear(); }

template <typename T>
void ShardWriter::Append(shard::Array array, T value) {
  const auto* begin = reinterpret_cast<const uint8_t*>(&value);
  bytes_[array].insert(bytes_[array].end(), begin, begin + sizeof value);
}

void ShardWriter::Clear() {
  interactions_ = segments_ = tokens_ = 0;
  for (auto& array : bytes_) array = {};
  Append<uint64_t>(shard::kSegmentStart, 0);
  Append<uint64_t>(shard::kFirstSegment, 0);
}

void ShardWriter::Add(const Interaction& interaction, const EncodedInteraction& encoded,
                      const StoredIds& ids) {
  MOAT_CHECK(!interaction.segments.empty(), "an interaction has segments");
  MOAT_CHECK(encoded.segment_start.size() == interaction.segments.size(), "encoded as given");
  const bool narrow = shard::TokenType(identity_.vocab_size) == core::DType::kU16;
  for (const int32_t token : encoded.tokens) {
    MOAT_CHECK(token >= 0 && token < identity_.vocab_size, "a token of the vocabulary");
    if (narrow) {
      Append(shard::kTokens, static_cast<uint16_t>(token));
    } else {
      Append(shard::kTokens, static_cast<uint32_t>(token));
    }
  }
  for (size_t s = 0; s < interaction.segments.size(); ++s) {
    const auto end = s + 1 < encoded.segment_start.size()
                         ? encoded.segment_start[s + 1]
                         : static_cast<int64_t>(encoded.tokens.size());
    Append(shard::kSegmentStart, static_cast<uint64_t>(tokens_ + end));
    Append(shard::kSegmentRole, static_cast<uint8_t>(interaction.segments[s].role));
    Append(shard::kSegmentWeight, interaction.segments[s].weight);
  }
  tokens_ += static_cast<int64_t>(encoded.tokens.size());
  segments_ += static_cast<int64_t>(interaction.segments.size());
  ++interactions_;
  Append(shard::kFirstSegment, static_cast<uint64_t>(segments_));
  Append(shard::kId, ids.id);
  Append(shard::kUser, ids.user);
  Append(shard::kTime, interaction.time_micros);
  Append(shard::kRequest, ids.request);
}

ShardEntry ShardWriter::Seal(const std::filesystem::path& directory, const std::string& file,
                             const std::string& split) {
  MOAT_CHECK(interactions_ > 0, "a shard holds something");
  ShardEntry entry;
  entry.file = file;
  entry.split = split;
  entry.interactions = interactions_;
  entry.segments = segments_;
  entry.tokens = tokens_;
  for (int i = 0; i < shard::kArrays; ++i) {
    const auto array = static_cast<shard::Array>(i);
    entry.arrays.push_back({shard::kNames[static_cast<size_t>(i)],
                            core::Name(shard::TypeOf(array, identity_.vocab_size)),
                            shard::CountOf(array, interactions_, segments_, tokens_),
                            0,
                            {}});
  }
  ContentDigest digest;
  for (const shard::Array array : shard::kContent) {
    digest.Start(array, shard::TypeOf(array, identity_.vocab_size), entry.arrays[array].count);
    digest.Update(bytes_[array].data(), bytes_[array].size());
  }
  entry.content_digest = digest.Finish();

  const std::filesystem::path path = directory / file;
  core::MakeDirectories(path.parent_path());
  const std::filesystem::path temporary = path.string() + ".tmp";
  try {
    WriteShardFile(temporary, identity_, bytes_, &entry);
    core::SyncFile(temporary);
    entry.bytes = static_cast<int64_t>(std::filesystem::file_size(temporary));
    core::RenameDurably(temporary, path);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    throw;
  }
  Clear();
  return entry;
}

}  // namespace moat::data
