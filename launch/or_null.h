// A value that may be absent, in JSON: null.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>

namespace moat::launch {

template <typename T>
nlohmann::ordered_json OrNull(const std::optional<T>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

}  // namespace moat::launch
