// Chat records, checked field by field.
#include "data/chat_records.h"

#include <cmath>
#include <ctime>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"

namespace moat::data {
namespace {

using nlohmann::json;

constexpr size_t kMaxLineBytes = 64 << 20;

[[noreturn]] void Malformed(const std::string& reason) { throw core::DataError(reason); }

float WeightOf(const json& value, const std::string& where) {
  if (!value.is_number()) Malformed(where + "weight is not a number");
  const double weight = value.get<double>();
  if (!(weight >= 0) || weight > std::numeric_limits<float>::max()) {
    Malformed(where + "weight is not a finite number of at least 0");
  }
  return static_cast<float>(weight);
}

std::string NameOf(const json& record, const char* key) {
  const auto found = record.find(key);
  if (found == record.end() || found->is_null()) return "";
  if (found->is_string()) return found->get<std::string>();
  if (found->is_number_integer()) return found->dump();
  Malformed(std::string(key) + " is neither a string nor an integer");
}

int64_t TimeOf(const json& record) {
  const auto found = record.find("time");
  if (found == record.end() || found->is_null()) return 0;
  if (found->is_string()) return ParseIsoTime(found->get<std::string>());
  if (!found->is_number()) Malformed("time is neither seconds nor an ISO 8601 string");
  const double seconds = found->get<double>();
  if (!(std::abs(seconds) < 9e12)) Malformed("time is out of range (expected Unix seconds)");
  return std::llround(seconds * 1e6);
}

Segment SegmentOf(const json& message, size_t number) {
  const std::string where = "message " + std::to_string(number) + ": ";
  if (!message.is_object()) Malformed(where + "not an object");
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string()) Malformed(where + "no role");
  const auto content = message.find("content");
  if (content == message.end() || !content->is_string()) {
    Malformed(where + "content is not a string");
  }
  const auto name = message.find("name");
  if (name != message.end() && !name->is_string()) Malformed(where + "name is not a string");
  Segment segment;
  try {
    segment.role = ParseRole(role->get<std::string>());
  } catch (const core::DataError& error) {
    Malformed(where + error.what());
  }
  segment.text = content->get<std::string>();
  if (message.contains("weight")) segment.weight = WeightOf(message["weight"], where);
  return segment;
}

// A record's weight judges its last assistant message; what came before is context.
void ApplyRecordWeight(const json& messages, float weight, std::vector<Segment>* segments) {
  bool judged = false;
  for (size_t i = segments->size(); i-- > 0;) {
    Segment& segment = (*segments)[i];
    if (segment.role != Role::kAssistant) continue;
    if (!messages[i].contains("weight")) segment.weight = judged ? 0.0f : weight;
    judged = true;
  }
  if (!judged) Malformed("weight, but no assistant message that it could judge");
}

// A whole line without its end; false at the end of the file. Longer lines than the limit are cut,
// which makes them malformed.
bool ReadLine(std::ifstream& stream, std::string* line) {
  line->clear();
  std::streambuf* buffer = stream.rdbuf();
  for (int c = buffer->sbumpc(); c != EOF; c = buffer->sbumpc()) {
    if (c == '\n') return true;
    if (line->size() < kMaxLineBytes) line->push_back(static_cast<char>(c));
  }
  return !line->empty();
}

}  // namespace

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
  if (rest == nullptr || *rest != '\0') {
    Malformed("time \"" + text.substr(0, 40) + "\" is not ISO 8601, as 2026-03-01T12:00:00Z");
  }
  return (static_cast<int64_t>(timegm(&tm)) - offset) * 1'000'000 + micros;
}

Interaction ParseChatRecord(const std::string& line, const std::string& name) {
  json record;
  try {
    record = json::parse(line);
  } catch (const json::exception& error) {
    Malformed(std::string("not JSON: ") + error.what());
  }
  if (!record.is_object()) Malformed("not a JSON object");
  const auto messages = record.find("messages");
  if (messages == record.end() || !messages->is_array()) Malformed("no messages");
  if (messages->empty()) Malformed("messages is empty");

  Interaction interaction;
  bool any_text = false;
  for (const json& message : *messages) {
    interaction.segments.push_back(SegmentOf(message, interaction.segments.size() + 1));
    any_text = any_text || !interaction.segments.back().text.empty();
  }
  if (!any_text) Malformed("every message is empty");
  const auto weight = record.find("weight");
  if (weight != record.end() && !weight->is_null()) {
    ApplyRecordWeight(*messages, WeightOf(*weight, ""), &interaction.segments);
  }
  interaction.id = NameOf(record, "id");
  if (interaction.id.empty()) interaction.id = name;
  interaction.user = NameOf(record, "user");
  interaction.time_micros = TimeOf(record);
  return interaction;
}

void ImportChatRecords(const std::filesystem::path& file, ImportSink* sink) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw core::ConfigError("cannot open " + file.string());
  std::string line;
  for (int64_t number = 1; ReadLine(stream, &line); ++number) {
    if (number == 1 && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);  // byte order mark
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    Interaction interaction;
    try {
      const std::string name = file.filename().string() + ":" + std::to_string(number);
      interaction = ParseChatRecord(line, name);
    } catch (const core::DataError& error) {
      sink->Quarantine(file.string(), number, error.what(), line);
      continue;
    }
    sink->Add(std::move(interaction));
  }
  if (stream.bad()) throw core::StorageError("reading " + file.string() + " failed");
}

}  // namespace moat::data
