// The programs beside moat, which run the heavier commands.
#pragma once

#include <string>
#include <vector>

namespace moat::programs {

// Becomes the program that runs the command of the given words. A first word that the program's
// name says already is dropped: "data import --in=x" becomes moat-data import --in=x, "train
// --run=x" moat-train --run=x, and "generate --run=x" moat-model generate --run=x. Returns only by
// throwing ConfigError: the program is not beside this one.
[[noreturn]] void BecomeSibling(const std::string& program, const std::vector<std::string>& words);

}  // namespace moat::programs
