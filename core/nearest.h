// The nearest known name, for "did you mean".
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace moat::core {

// The candidate with the smallest edit distance (Levenshtein) to `name`, or "" when none is near
// (more than a third of the length, at least 2, would have to change).
std::string NearestName(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace moat::core
