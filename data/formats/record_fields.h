// Looking into a record: fields under the names that the flags give them, each checked.
//
// All of these throw DataError with the reason a record is malformed. Included by sources only.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "configs/import_config.h"
#include "data/interaction.h"

namespace moat::data::formats {

using nlohmann::json;

[[noreturn]] void Malformed(const std::string& reason);

// The value under `name`, or null: a field of that very name, else a path ("meta.user"). A field
// that is null counts as absent.
const json* Find(const json& record, const std::string& name);

// A string under `name`; "missing" and "not a string" are malformed.
const std::string& RequiredText(const json& record, const std::string& name);
std::string OptionalText(const json& record, const std::string& name);  // "": absent

// A finite number of at least 0. `where` begins the reason ("message 3: ").
float WeightOf(const json& value, const std::string& where);

// Unix microseconds of an ISO 8601 time ("2026-03-01T12:00:00Z", with fraction or offset; no
// offset means UTC).
int64_t ParseIsoTime(const std::string& text);

// What a record says about itself beside its texts.
struct RecordFacts {
  std::string id, user, request;
  int64_t time_micros = 0;
  std::optional<float> weight;  // its own, or that of its outcome's label
};

// `from_table`: all values are strings, and those of weight and time may spell numbers.
RecordFacts FactsOf(const json& record, const configs::RecordConfig& config, bool from_table);

}  // namespace moat::data::formats
