// Which outside libraries the CPU backend computes with.
#pragma once

#include <map>
#include <string>

namespace moat::tensor {

// Name to version, as they were loaded: {"oneDNN", "2.6.3"}.
std::map<std::string, std::string> LibraryVersions();

}  // namespace moat::tensor
