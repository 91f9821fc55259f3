// The table of names.
#include "data/formats/file_kind.h"

#include <string_view>
#include <utility>

#include "core/error.h"
#include "data/formats/byte_source.h"

namespace moat::data::formats {
namespace {

constexpr std::string_view kCompressed[] = {".gz", ".zst", ".xz"};
constexpr std::pair<std::string_view, FileKind> kEndings[] = {
    {".jsonl", FileKind::kJson}, {".ndjson", FileKind::kJson}, {".json", FileKind::kJson},
    {".csv", FileKind::kCsv},    {".tsv", FileKind::kTsv},     {".tab", FileKind::kTsv},
    {".h5", FileKind::kTokens},  {".hdf5", FileKind::kTokens},
};

}  // namespace

FileKind KindByName(const std::string& name) {
  std::string_view stem = name;
  for (const std::string_view ending : kCompressed) {
    if (stem.ends_with(ending)) {
      stem.remove_suffix(ending.size());
      break;
    }
  }
  for (const auto& [ending, kind] : kEndings) {
    // HDF5 is read where it lies: not compressed.
    if (stem.ends_with(ending) && (kind != FileKind::kTokens || stem.size() == name.size())) {
      return kind;
    }
  }
  return FileKind::kText;
}

bool HoldsRecords(FileKind kind) { return kind != FileKind::kText; }

FileKind KindOf(const std::string& path, const std::string& format) {
  const bool standard_input = path == kStandardInput;
  if (standard_input && (format == "hdf5" || format == "tree")) {
    throw core::ConfigError("--in=-: --format=" + format + " cannot be read from standard input");
  }
  if (format == "csv") return FileKind::kCsv;
  if (format == "tsv") return FileKind::kTsv;
  if (format == "lines") return FileKind::kLines;
  if (format == "hdf5") return FileKind::kTokens;
  if (format == "tree") return FileKind::kText;
  const FileKind named = standard_input ? FileKind::kJson : KindByName(path);
  if (format == "auto") return named;
  // A shape of record: in a table where the name says so.
  return named == FileKind::kCsv || named == FileKind::kTsv ? named : FileKind::kJson;
}

}  // namespace moat::data::formats
