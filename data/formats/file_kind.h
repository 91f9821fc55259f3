// What a file holds, by its name and --format.
#pragma once

#include <string>

namespace moat::data::formats {

enum class FileKind {
  kJson,    // records: one a line, or the elements of an array
  kCsv,     // records: the rows of a table
  kTsv,     //
  kLines,   // every line is a text
  kTokens,  // HDF5 with tokens
  kText,    // one text
};

// By the name, of which .gz, .zst and .xz are left out.
FileKind KindByName(const std::string& name);
bool HoldsRecords(FileKind kind);  // many in a file, of which some may be malformed

// By the format where it says so, else by the name; standard input is JSON. REQUIRES: `format` is
// one that --format takes. Throws ConfigError for a format that cannot come from standard input.
FileKind KindOf(const std::string& path, const std::string& format);

}  // namespace moat::data::formats
