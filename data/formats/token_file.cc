// Tokens out of HDF5, in windows of bounded size, back to text.
#include "data/formats/token_file.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "data/hdf5_handle.h"

namespace moat::data::formats {
namespace {

constexpr int64_t kWindow = 1 << 20;              // numbers read at once
constexpr int64_t kMaxDocumentTokens = 16 << 20;  // of one document
constexpr hsize_t kMaxChunkNumbers = hsize_t{32} << 20;

// One column of numbers, read as T in windows; any range is asked for in rising order.
template <typename T>
class Column {
 public:
  Column(Hid dataset, hid_t type, int64_t size, std::string where)
      : dataset_(std::move(dataset)), type_(type), size_(size), where_(std::move(where)) {}

  int64_t size() const { return size_; }

  // The values [start, end). REQUIRES: 0 <= start <= end <= size().
  const T* At(int64_t start, int64_t end) {
    if (start < start_ || end > start_ + static_cast<int64_t>(window_.size())) Load(start, end);
    return window_.data() + (start - start_);
  }

 private:
  void Load(int64_t start, int64_t end) {
    start_ = start;
    window_.resize(static_cast<size_t>(std::max(std::min(kWindow, size_ - start), end - start)));
    if (window_.empty()) return;
    const hsize_t at = static_cast<hsize_t>(start), count = window_.size();
    const Hid file_space(H5Dget_space(dataset_), H5Sclose);
    const Hid memory_space(H5Screate_simple(1, &count, nullptr), H5Sclose);
    if (H5Sselect_hyperslab(file_space, H5S_SELECT_SET, &at, nullptr, &count, nullptr) < 0 ||
        H5Dread(dataset_, type_, memory_space, file_space, H5P_DEFAULT, window_.data()) < 0) {
      throw core::DataError(where_ + ": cannot be read from row " + std::to_string(start) + ": " +
                            Hdf5Problem());
    }
  }

  Hid dataset_;
  hid_t type_;
  int64_t size_;
  std::string where_;
  std::vector<T> window_;
  int64_t start_ = 0;
};

// Data that lies in other files could be any file of this machine; huge chunks would be read whole.
void CheckStorage(hid_t dataset, const std::string& where) {
  const Hid layout(H5Dget_create_plist(dataset), H5Pclose);
  const H5D_layout_t kind = H5Pget_layout(layout);
  if (kind == H5D_VIRTUAL || H5Pget_external_count(layout) != 0) {
    throw core::DataError(where + ": its data lies in other files; write it into this one");
  }
  hsize_t chunk = 0;
  if (kind == H5D_CHUNKED && (H5Pget_chunk(layout, 1, &chunk) != 1 || chunk > kMaxChunkNumbers)) {
    throw core::DataError(where + ": chunks of " + std::to_string(chunk) +
                          " numbers; expected at most " + std::to_string(kMaxChunkNumbers));
  }
}

bool Has(hid_t file, const std::string& name) {
  return H5Lexists(file, name.c_str(), H5P_DEFAULT) > 0;
}

// REQUIRES: Has(file, name).
template <typename T>
Column<T> OpenColumn(hid_t file, const std::string& path, const std::string& name) {
  const std::string where = path + ": dataset " + name;
  H5L_info_t link{};
  if (H5Lget_info(file, name.c_str(), &link, H5P_DEFAULT) < 0 || link.type != H5L_TYPE_HARD) {
    throw core::DataError(where + " is a link; expected the data itself");
  }
  Hid dataset(H5Dopen2(file, name.c_str(), H5P_DEFAULT), H5Dclose);
  if (!dataset.valid()) throw core::DataError(where + ": expected a dataset: " + Hdf5Problem());
  const Hid type(H5Dget_type(dataset), H5Tclose);
  const bool whole = std::is_integral_v<T>;
  const H5T_class_t found = H5Tget_class(type);
  if (found != H5T_INTEGER && (whole || found != H5T_FLOAT)) {
    throw core::DataError(where + ": expected " + (whole ? "integers" : "numbers"));
  }
  const Hid space(H5Dget_space(dataset), H5Sclose);
  hsize_t size = 0;
  if (H5Sget_simple_extent_ndims(space) != 1 ||
      H5Sget_simple_extent_dims(space, &size, nullptr) != 1 ||
      size > static_cast<hsize_t>(std::numeric_limits<int64_t>::max())) {
    throw core::DataError(where + ": expected one dimension");
  }
  CheckStorage(dataset, where);
  return Column<T>(std::move(dataset), whole ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE,
                   static_cast<int64_t>(size), where);
}

class TokenFile {
 public:
  TokenFile(hid_t file, const std::string& path)
      : path_(path), tokens_(OpenColumn<int64_t>(file, path, "tokens")) {
    for (const char* name : {"offsets", "first_token"}) {
      if (offsets_ == nullptr && Has(file, name)) {
        offsets_ = std::make_unique<Column<int64_t>>(OpenColumn<int64_t>(file, path, name));
        CheckOffsets(name);
      }
    }
    if (Has(file, "role")) {
      roles_ = std::make_unique<Column<int64_t>>(OpenColumn<int64_t>(file, path, "role"));
      CheckPerToken(roles_->size(), "role");
    }
    if (Has(file, "weight")) {
      weights_ = std::make_unique<Column<double>>(OpenColumn<double>(file, path, "weight"));
      CheckPerToken(weights_->size(), "weight");
    }
  }

  int64_t documents() const { return offsets_ == nullptr ? 1 : offsets_->size() - 1; }

  // Throws DataError with the reason the document is malformed.
  std::vector<Segment> Document(int64_t number, const Tokenizer& tokenizer) {
    int64_t start = 0, end = tokens_.size();
    if (offsets_ != nullptr) {
      const int64_t* bounds = offsets_->At(number, number + 2);
      start = bounds[0];
      end = bounds[1];
    }
    if (start < 0 || end < start || end > tokens_.size()) {
      throw core::DataError("offsets " + std::to_string(start) + " and " + std::to_string(end) +
                            ": expected rising ones up to " + std::to_string(tokens_.size()));
    }
    if (end - start > kMaxDocumentTokens) {
      throw core::DataError("a document of " + std::to_string(end - start) +
                            " tokens: expected at most " + std::to_string(kMaxDocumentTokens) +
                            "; give their starts as offsets");
    }
    return Segments(start, end, tokenizer);
  }

 private:
  void CheckOffsets(const std::string& name) {
    if (offsets_->size() < 1 || *offsets_->At(0, 1) != 0 ||
        *offsets_->At(offsets_->size() - 1, offsets_->size()) != tokens_.size()) {
      throw core::DataError(path_ + ": dataset " + name +
                            ": expected the start of each document and then the number of tokens, "
                            "0 ... " +
                            std::to_string(tokens_.size()));
    }
  }

  void CheckPerToken(int64_t size, const std::string& name) const {
    if (size == tokens_.size()) return;
    throw core::DataError(path_ + ": dataset " + name + ": expected one number per token, " +
                          std::to_string(tokens_.size()) + ", found " + std::to_string(size));
  }

  std::vector<Segment> Segments(int64_t start, int64_t end, const Tokenizer& tokenizer) {
    const int64_t* tokens = tokens_.At(start, end);
    const int64_t* roles = roles_ == nullptr ? nullptr : roles_->At(start, end);
    const double* weights = weights_ == nullptr ? nullptr : weights_->At(start, end);
    const int64_t count = end - start;
    // The template puts these around a document itself.
    int64_t first = count > 0 && tokens[0] == tokenizer.begin_token() ? 1 : 0;
    const int64_t last =
        count > first && tokens[count - 1] == tokenizer.end_token() ? count - 1 : count;
    std::vector<Segment> segments;
    while (first < last) {
      int64_t stop = first + 1;
      while (stop < last && (roles == nullptr || roles[stop] == roles[first]) &&
             (weights == nullptr || weights[stop] == weights[first])) {
        ++stop;
      }
      Segment segment;
      if (roles != nullptr) segment.role = RoleOf(roles[first]);
      if (weights != nullptr) segment.weight = WeightOf(weights[first]);
      segment.text = TextOf(tokens + first, tokens + stop, tokenizer);
      segments.push_back(std::move(segment));
      first = stop;
    }
    if (segments.empty()) throw core::DataError("a document without tokens");
    return segments;
  }

  static Role RoleOf(int64_t role) {
    if (role >= 0 && role < kRoles) return static_cast<Role>(role);
    throw core::DataError("role " + std::to_string(role) + ": expected 0 to 4");
  }

  static float WeightOf(double weight) {
    if (weight >= 0 && weight <= std::numeric_limits<float>::max()) {
      return static_cast<float>(weight);
    }
    throw core::DataError("weight is not a finite number of at least 0");
  }

  static std::string TextOf(const int64_t* begin, const int64_t* end, const Tokenizer& tokenizer) {
    std::vector<int32_t> tokens;
    tokens.reserve(static_cast<size_t>(end - begin));
    for (const int64_t* token = begin; token != end; ++token) {
      if (*token < 0 || *token >= tokenizer.vocab_size()) {
        throw core::DataError("token " + std::to_string(*token) +
                              " is outside the tokenizer's vocabulary of " +
                              std::to_string(tokenizer.vocab_size()));
      }
      tokens.push_back(static_cast<int32_t>(*token));
    }
    std::string text = tokenizer.Decode(tokens);
    if (tokenizer.Encode(text) != tokens) {
      throw core::DataError(
          "the tokenizer does not give these tokens for their own text: another one made them");
    }
    return text;
  }

  std::string path_;
  Column<int64_t> tokens_;
  std::unique_ptr<Column<int64_t>> offsets_, roles_;
  std::unique_ptr<Column<double>> weights_;
};

}  // namespace

void ImportTokens(const std::filesystem::path& path, const Tokenizer& tokenizer, ImportSink* sink) {
  SilenceHdf5();
  const Hid access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
  H5Pset_file_locking(access, false, true);
  const Hid file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), H5Fclose);
  if (!file.valid()) {
    throw core::DataError(path.string() + ": expected an HDF5 file: " + Hdf5Problem());
  }
  if (!Has(file, "tokens")) {
    throw core::DataError(path.string() + ": no dataset tokens; see docs/data-formats.md");
  }
  TokenFile tokens(file, path.string());
  for (int64_t i = 0; i < tokens.documents(); ++i) {
    const std::string name = path.filename().string() + ":" + std::to_string(i + 1);
    Interaction interaction;
    try {
      interaction.segments = tokens.Document(i, tokenizer);
    } catch (const core::DataError& error) {
      sink->Quarantine(path.string(), i + 1, error.what(), "");
      continue;
    }
    interaction.id = name;
    sink->Add(std::move(interaction));
  }
}

}  // namespace moat::data::formats
