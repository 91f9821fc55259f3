// The look-up that every shape of record shares.
#include "data/formats/record_fields.h"

#include <cmath>
#include <cstdlib>
#include <ctime>
#include <limits>

#include "core/error.h"

namespace moat::data::formats {
namespace {

// A string as a number, whole.
std::optional<double> NumberIn(const std::string& text) {
  if (text.empty() || text.find_first_not_of("0123456789+-.eE") != std::string::npos) return {};
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (*end != '\0') return {};
  return value;
}

// An identifier or label: a string, or what people also use as one.
std::string NameIn(const json& record, const std::string& field) {
  const json* value = Find(record, field);
  if (value == nullptr) return "";
  if (value->is_string()) return value->get<std::string>();
  if (value->is_number_integer()) return value->dump();
  Malformed(field + " is neither a string nor an integer");
}

int64_t MicrosOf(double seconds) {
  if (!(std::abs(seconds) < 9e12)) Malformed("time is out of range (expected Unix seconds)");
  return std::llround(seconds * 1e6);
}

int64_t TimeIn(const json& record, const std::string& field, bool from_table) {
  const json* value = Find(record, field);
  if (value == nullptr) return 0;
  if (value->is_number()) return MicrosOf(value->get<double>());
  if (!value->is_string()) Malformed(field + " is neither seconds nor an ISO 8601 string");
  const auto& text = value->get_ref<const std::string&>();
  const std::optional<double> seconds = from_table ? NumberIn(text) : std::nullopt;
  return seconds ? MicrosOf(*seconds) : ParseIsoTime(text);
}

std::optional<float> WeightIn(const json& record, const std::string& field, bool from_table) {
  const json* value = Find(record, field);
  if (value == nullptr) return std::nullopt;
  if (!from_table) return WeightOf(*value, "");
  const std::optional<double> number = NumberIn(value->get_ref<const std::string&>());
  return WeightOf(number ? json(*number) : *value, "");
}

std::optional<float> OutcomeIn(const json& record, const configs::RecordConfig& config) {
  const json* value = Find(record, config.field_outcome);
  if (config.outcomes.empty() || value == nullptr) return std::nullopt;
  if (!value->is_string() && !value->is_number_integer() && !value->is_boolean()) {
    Malformed(config.field_outcome + " is not a label (a string, an integer, true or false)");
  }
  const std::string label = value->is_string() ? value->get<std::string>() : value->dump();
  const auto found = config.outcomes.find(label);
  if (found == config.outcomes.end()) {
    std::string known;
    for (const auto& [name, weight] : config.outcomes) known += (known.empty() ? "" : ", ") + name;
    Malformed(config.field_outcome + " \"" + label.substr(0, 40) +
              "\" has no weight in --outcomes, which knows " + known);
  }
  return static_cast<float>(found->second);
}

}  // namespace

void Malformed(const std::string& reason) { throw core::DataError(reason); }

const json* Find(const json& record, const std::string& name) {
  const json* value = nullptr;
  const auto whole = record.find(name);
  if (whole != record.end()) {
    value = &*whole;
  } else {
    const size_t dot = name.find('.');
    if (dot == std::string::npos) return nullptr;
    const auto outer = record.find(name.substr(0, dot));
    if (outer == record.end() || !outer->is_object()) return nullptr;
    value = Find(*outer, name.substr(dot + 1));
  }
  return value == nullptr || value->is_null() ? nullptr : value;
}

const std::string& RequiredText(const json& record, const std::string& name) {
  const json* value = Find(record, name);
  if (value == nullptr) Malformed("no " + name);
  if (!value->is_string()) Malformed(name + " is not a string");
  return value->get_ref<const std::string&>();
}

std::string OptionalText(const json& record, const std::string& name) {
  return Find(record, name) == nullptr ? "" : RequiredText(record, name);
}

float WeightOf(const json& value, const std::string& where) {
  if (!value.is_number()) Malformed(where + "weight is not a number");
  const double weight = value.get<double>();
  if (!(weight >= 0) || weight > std::numeric_limits<float>::max()) {
    Malformed(where + "weight is not a finite number of at least 0");
  }
  return static_cast<float>(weight);
}

int64_t ParseIsoTime(const std::string& text) {
  std::tm tm{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%d", &tm);
  if (rest != nullptr && (*rest == 'T' || *rest == ' ')) rest = strptime(rest + 1, "%H:%M:%S", &tm);
  int64_t micros = 0;
  if (rest != nullptr && *rest == '.') {
    int64_t unit = 100'000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, unit /= 10) micros += (*rest - '0') * unit;
  }
  int64_t offset = 0;
  if (rest != nullptr && (*rest == '+' || *rest == '-')) {
    std::tm shift{};
    const int sign = *rest == '-' ? -1 : 1;
    const char* end = strptime(rest + 1, "%H:%M", &shift);
    if (end == nullptr) end = strptime(rest + 1, "%H%M", &shift);
    offset = sign * (shift.tm_hour * 3600 + shift.tm_min * 60);
    rest = end;
  } else if (rest != nullptr && *rest == 'Z') {
    ++rest;
  }
  if (rest == nullptr || rest != text.c_str() + text.size()) {
    Malformed("time \"" + text.substr(0, 40) + "\" is not ISO 8601, as 2026-03-01T12:00:00Z");
  }
  return (static_cast<int64_t>(timegm(&tm)) - offset) * 1'000'000 + micros;
}

RecordFacts FactsOf(const json& record, const configs::RecordConfig& config, bool from_table) {
  RecordFacts facts;
  facts.id = NameIn(record, config.field_id);
  facts.user = NameIn(record, config.field_user);
  facts.request = NameIn(record, config.field_request);
  facts.time_micros = TimeIn(record, config.field_time, from_table);
  facts.weight = WeightIn(record, config.field_weight, from_table);
  const std::optional<float> outcome = OutcomeIn(record, config);
  if (facts.weight && outcome) {
    Malformed("both " + config.field_weight + " and " + config.field_outcome +
              ": which one counts?");
  }
  if (outcome) facts.weight = outcome;
  return facts;
}

}  // namespace moat::data::formats
