// Lists as one text with commas between the words: of flags, and of a run's identity.
#pragma once

#include <string>
#include <vector>

namespace moat::core {

std::string JoinWithCommas(const std::vector<std::string>& words);

// "a,b" as "a" and "b"; nothing of "", and no last empty word.
std::vector<std::string> SplitAtCommas(const std::string& text);

}  // namespace moat::core
