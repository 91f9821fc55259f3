// Tables as text: comma- or tab-separated values with a header, quoted as RFC 4180 says.
//
// A field in double quotes may hold the separator, line ends and doubled quotes. Strict beyond
// that: a quote inside a plain field, text behind a closing quote and a row of another width than
// the header's are malformed. Blank lines are skipped.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/formats/text_stream.h"

namespace moat::data::formats {

class TableReader {
 public:
  // Reads the header. Throws DataError where there is none, or it names a column twice or "".
  TableReader(TextStream* stream, char separator, const std::string& name);

  const std::vector<std::string>& columns() const { return columns_; }

  // The next row; false at the end. `problem` says why the row is malformed ("": it is good, and as
  // wide as the header).
  bool Next(std::vector<std::string>* row, std::string* problem);

  int64_t line() const { return line_; }  // on which the row starts

 private:
  bool ReadRow(std::vector<std::string>* row, std::string* problem);
  void ReadField(std::string* field, std::string* problem);
  void ReadQuoted(std::string* field, std::string* problem);
  bool AtFieldEnd();

  TextStream& stream_;
  char separator_;
  std::vector<std::string> columns_;
  size_t row_bytes_ = 0;
  int64_t line_ = 1;
};

}  // namespace moat::data::formats
