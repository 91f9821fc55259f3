// Which outside libraries data sets are read and written with.
#pragma once

#include <map>
#include <string>

namespace moat::data {

// Name to version: {"HDF5", "1.10.8"}, as they were loaded; SentencePiece, which cannot be asked,
// as it was built with.
std::map<std::string, std::string> LibraryVersions();

}  // namespace moat::data
