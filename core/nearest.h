// The nearest known name, for "did you mean".
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace moat::core {

// The candidate with the smallest edit distance (Levenshtein) to `name`, or "" when none is near
// (more than a third of the length, at least 2, would have to change).
std::string NearestName(std::string_view name, const std::vector<std::string>& candidates);

// Of what lies in `folder` that whose name, without its extension, is nearest to that of `path`, as
// a path to write; "" when there is no such folder, or nothing in it is near.
std::filesystem::path NearestPath(const std::filesystem::path& path,
                                  const std::filesystem::path& folder);

}  // namespace moat::core
