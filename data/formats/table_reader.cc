// Rows, field by field.
#include "data/formats/table_reader.h"

#include <set>
#include <utility>

#include "core/error.h"

namespace moat::data::formats {
namespace {

constexpr size_t kMaxColumns = 100'000;

}  // namespace

TableReader::TableReader(TextStream* stream, char separator, const std::string& name)
    : stream_(*stream), separator_(separator) {
  std::string problem;
  std::vector<std::string> header;
  if (!ReadRow(&header, &problem)) {
    throw core::DataError(name + ": expected a header that names the columns, found nothing");
  }
  const std::string where = name + ":" + std::to_string(line_) + ": ";
  if (!problem.empty()) throw core::DataError(where + "the header cannot be read: " + problem);
  if (header.size() > kMaxColumns) {
    throw core::DataError(where + "the header has more than " + std::to_string(kMaxColumns) +
                          " columns: is this a table?");
  }
  std::set<std::string> seen;
  for (const std::string& column : header) {
    if (column.empty()) throw core::DataError(where + "the header has a column without a name");
    if (!seen.insert(column).second) {
      throw core::DataError(where + "the header names the column \"" + column.substr(0, 40) +
                            "\" twice");
    }
  }
  columns_ = std::move(header);
}

bool TableReader::AtFieldEnd() {
  const int c = stream_.Peek();
  return c < 0 || c == separator_ || c == '\n' || c == '\r';
}

void TableReader::ReadQuoted(std::string* field, std::string* problem) {
  stream_.Get();
  while (true) {
    const int c = stream_.Get();
    if (c < 0) {
      *problem = "a quoted field does not end before the end of the file, line " +
                 std::to_string(stream_.line());
      return;
    }
    if (c == '"') {
      if (stream_.Peek() != '"') break;
      stream_.Get();
    }
    if (++row_bytes_ <= kMaxRecordBytes) field->push_back(static_cast<char>(c));
  }
  if (!AtFieldEnd()) *problem = "text behind a closing quote";
}

void TableReader::ReadField(std::string* field, std::string* problem) {
  if (stream_.Peek() == '"') ReadQuoted(field, problem);
  for (; !AtFieldEnd(); stream_.Get()) {
    if (stream_.Peek() == '"' && problem->empty()) *problem = "a quote inside a plain field";
    if (++row_bytes_ <= kMaxRecordBytes) field->push_back(static_cast<char>(stream_.Peek()));
  }
}

bool TableReader::ReadRow(std::vector<std::string>* row, std::string* problem) {
  row->clear();
  problem->clear();
  row_bytes_ = 0;
  while (stream_.Peek() == '\n' || stream_.Peek() == '\r') stream_.Get();
  if (stream_.Peek() < 0) return false;
  line_ = stream_.line();
  // The rest of a row that is too wide need not be kept.
  const size_t width = columns_.empty() ? kMaxColumns : columns_.size();
  while (true) {
    std::string field;
    ReadField(&field, problem);
    if (row->size() <= width) row->push_back(std::move(field));
    if (stream_.Peek() != separator_) break;
    stream_.Get();
  }
  if (stream_.Peek() == '\r') stream_.Get();
  if (stream_.Peek() == '\n') stream_.Get();
  if (row_bytes_ > kMaxRecordBytes) *problem = "longer than 64 MiB";
  return true;
}

bool TableReader::Next(std::vector<std::string>* row, std::string* problem) {
  if (!ReadRow(row, problem)) return false;
  if (problem->empty() && row->size() != columns_.size()) {
    *problem = "expected the header's " + std::to_string(columns_.size()) + " fields, found " +
               (row->size() > columns_.size() ? "more" : std::to_string(row->size()));
  }
  return true;
}

}  // namespace moat::data::formats
