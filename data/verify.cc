// Verification. HDF5 opens a shard only after its bytes match their CRCs where CRCs cover them.
#include "data/verify.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/error.h"
#include "data/chat_template.h"
#include "data/dataset.h"
#include "data/hdf5_handle.h"
#include "data/shard_format.h"
#include "data/shard_reader.h"
#include "data/tokenizer.h"

namespace moat::data {
namespace {

class Hdf5Shard {
 public:
  explicit Hdf5Shard(const std::filesystem::path& path)
      : path_(path), access_(H5Pcreate(H5P_FILE_ACCESS), H5Pclose), file_(Open(), H5Fclose) {}

  void CheckNumber(const char* name, uint64_t expected) const {
    uint64_t found = 0;
    Hid attribute(H5Aopen(file_, name, H5P_DEFAULT), H5Aclose);
    Check(attribute.valid() && H5Aread(attribute, H5T_NATIVE_UINT64, &found) >= 0,
          std::string("attribute ") + name + " cannot be read");
    Check(found == expected, std::string("attribute ") + name + ": expected " +
                                 std::to_string(expected) + ", found " + std::to_string(found));
  }

  void CheckText(const char* name, const std::string& expected) const {
    Hid attribute(H5Aopen(file_, name, H5P_DEFAULT), H5Aclose);
    Check(attribute.valid(), std::string("no attribute ") + name);
    Hid type(H5Aget_type(attribute), H5Tclose);
    const bool fits = H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
                      H5Tget_size(type) == expected.size();
    std::string found(expected.size(), '\0');
    Check(fits && H5Aread(attribute, type, found.data()) >= 0 && found == expected,
          std::string("attribute ") + name + ": expected " + expected);
  }

  void CheckArray(const StoredArray& array) const {
    const Hid dataset = OpenDataset(array.name, array.count);
    Check(H5Dget_offset(dataset) == static_cast<haddr_t>(array.offset),
          "dataset " + array.name + " is not at its address in the index");
    const std::string crc_name = std::string(shard::kCrcGroup) + "/" + array.name;
    const auto blocks = static_cast<int64_t>(array.crc32c.size());
    const Hid crcs = OpenDataset(crc_name, blocks);
    std::vector<uint32_t> stored(array.crc32c.size());
    Check(H5Dread(crcs, H5T_NATIVE_UINT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, stored.data()) >= 0,
          "dataset " + crc_name + " cannot be read");
    const auto [found, expected] =
        std::mismatch(stored.begin(), stored.end(), array.crc32c.begin());
    Check(found == stored.end(), "dataset " + crc_name + ", row " +
                                     std::to_string(found - stored.begin()) +
                                     ": not the CRC in the index");
  }

 private:
  hid_t Open() {
    SilenceHdf5();
#if H5_VERSION_GE(1, 10, 7)
    H5Pset_file_locking(access_, false, true);  // network file systems refuse locks
#endif
    const hid_t id = H5Fopen(path_.c_str(), H5F_ACC_RDONLY, access_);
    Check(id >= 0, "HDF5 cannot open it: " + Hdf5Problem());
    return id;
  }

  Hid OpenDataset(const std::string& name, int64_t count) const {
    Hid dataset(H5Dopen2(file_, name.c_str(), H5P_DEFAULT), H5Dclose);
    Check(dataset.valid(), "no dataset " + name);
    Hid space(H5Dget_space(dataset), H5Sclose);
    Check(H5Sget_simple_extent_ndims(space) == 1 &&
              H5Sget_simple_extent_npoints(space) == static_cast<hssize_t>(count),
          "dataset " + name + " has another shape than the index says");
    return dataset;
  }

  void Check(bool good, const std::string& what) const {
    if (!good) throw core::DataError(path_.string() + ": " + what);
  }

  std::filesystem::path path_;
  Hid access_;
  Hid file_;
};

// <s> opens an interaction, a role token each segment, <|end|> closes it, and neither <s>, <pad>
// nor a role token lies inside. (An <|end|> inside would be a control token in text.)
void CheckTemplate(const std::string& file, const StoredInteractions& run,
                   const Tokenizer& tokenizer, int64_t first_interaction) {
  for (int64_t i = 0; i < run.size(); ++i) {
    const auto fail = [&](const std::string& what) {
      throw core::DataError(file + ", interaction " + std::to_string(first_interaction + i) +
                            " does not follow the template: " + what);
    };
    for (int64_t s = run.first_segment[static_cast<size_t>(i)];
         s < run.first_segment[static_cast<size_t>(i) + 1]; ++s) {
      const auto segment = static_cast<size_t>(s);
      const bool first = s == run.first_segment[static_cast<size_t>(i)];
      const auto begin = static_cast<size_t>(run.segment_start[segment]);
      const auto end = static_cast<size_t>(run.segment_start[segment + 1]);
      const auto header = static_cast<size_t>(HeaderTokens(first));
      if (end - begin < header + 1) fail("a segment is too short");
      if (first && run.tokens[begin] != tokenizer.begin_token()) fail("it does not start with <s>");
      if (run.tokens[begin + header - 1] != tokenizer.role_token(run.role[segment])) {
        fail("a segment does not start with its role's token");
      }
      if (run.tokens[end - 1] != tokenizer.end_token()) fail("a segment does not end with <|end|>");
      for (size_t t = begin + header; t + 1 < end; ++t) {
        if (run.tokens[t] < 3 + kRoles) fail("a control token lies inside a text");
      }
    }
  }
}

void VerifyShard(const Dataset& dataset, const ShardEntry& entry, const Tokenizer& tokenizer) {
  const ShardReader reader(dataset.directory(), entry, dataset.vocab_size());
  const std::filesystem::path path = dataset.directory() / entry.file;
  for (int i = 0; i < shard::kArrays; ++i) reader.VerifyArray(static_cast<shard::Array>(i));
  if (reader.ComputeContentDigest() != entry.content_digest) {
    throw core::DataError(path.string() + ": its content digest is not the one in the index");
  }
  const Hdf5Shard file(path);
  file.CheckText("format", shard::kFormat);
  file.CheckNumber("version", shard::kVersion);
  file.CheckNumber("vocab_size", static_cast<uint64_t>(dataset.vocab_size()));
  file.CheckNumber("interactions", static_cast<uint64_t>(entry.interactions));
  file.CheckNumber("segments", static_cast<uint64_t>(entry.segments));
  file.CheckNumber("tokens", static_cast<uint64_t>(entry.tokens));
  file.CheckText("tokenizer_digest", dataset.tokenizer_digest());
  file.CheckText("template_digest", dataset.template_digest());
  file.CheckText("content_digest", entry.content_digest);
  for (const StoredArray& array : entry.arrays) file.CheckArray(array);
  constexpr int64_t kRun = 256;
  for (int64_t first = 0; first < entry.interactions; first += kRun) {
    const int64_t count = std::min(kRun, entry.interactions - first);
    CheckTemplate(path.string(), reader.ReadInteractions(first, count), tokenizer, first);
  }
}

}  // namespace

VerifyReport Verify(const std::filesystem::path& directory) {
  const Dataset dataset = Dataset::Open(directory);
  const Tokenizer tokenizer = Tokenizer::Load(dataset.tokenizer_path());
  if (tokenizer.digest() != dataset.tokenizer_digest() ||
      tokenizer.vocab_size() != dataset.vocab_size()) {
    throw core::DataError(dataset.tokenizer_path().string() +
                          ": not the tokenizer that the shards were encoded with (digest " +
                          tokenizer.digest() + ", expected " + dataset.tokenizer_digest() + ")");
  }
  if (Tokenizer::template_digest() != dataset.template_digest()) {
    throw core::DataError(directory.string() +
                          ": encoded with another chat template; import the data again");
  }
  VerifyReport report;
  for (const ShardEntry& entry : dataset.shards()) {
    VerifyShard(dataset, entry, tokenizer);
    ++report.shards;
    report.interactions += entry.interactions;
    report.tokens += entry.tokens;
    report.bytes += entry.bytes;
  }
  return report;
}

}  // namespace moat::data
