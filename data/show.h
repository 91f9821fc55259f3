// `moat data show`: interactions of a data set as text again.
#pragma once

#include <cstdint>
#include <string>

#include "data/dataset.h"

namespace moat::data {

// One interaction with a heading per segment, byte for byte the imported text; or one JSON object
// on a line (bytes that are not UTF-8 become U+FFFD there).
std::string Show(const Dataset& dataset, const std::string& split, int64_t number, bool json);

}  // namespace moat::data
