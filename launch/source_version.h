// Which version of the sources a program was built from, where that can be told.
#pragma once

#include <filesystem>
#include <string>

namespace moat::launch {

// `git describe` of the work tree that `folder` lies in; "" where there is no git or no work tree.
std::string SourceVersion(const std::filesystem::path& folder);

}  // namespace moat::launch
