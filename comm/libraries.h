// Which outside libraries ranks talk through.
#pragma once

#include <map>
#include <string>

namespace moat::comm {

// Name to version, as they were loaded: {"MPI", "Open MPI v4.1.4, ..."}. May be called before a
// session begins.
std::map<std::string, std::string> LibraryVersions();

}  // namespace moat::comm
