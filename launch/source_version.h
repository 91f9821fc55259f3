// Which version of the sources a program was built from, where that can be told.
#pragma once

#include <filesystem>
#include <string>

namespace moat::launch {

// Of the programs in `folder`: the commit that an installed tree brings along; else `git describe`
// of the work tree they lie in. "" where there is no git or no work tree.
std::string SourceVersion(const std::filesystem::path& folder);

}  // namespace moat::launch
