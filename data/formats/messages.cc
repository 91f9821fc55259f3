// One message at a time, every field checked.
#include "data/formats/messages.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace moat::data::formats {
namespace {

struct RoleName {
  std::string_view name;
  Role role;
};

// Beside moat's own names.
constexpr RoleName kChatRoles[] = {{"developer", Role::kSystem}, {"function", Role::kTool}};
constexpr RoleName kShareGptRoles[] = {
    {"human", Role::kUser},        {"gpt", Role::kAssistant},
    {"chatgpt", Role::kAssistant}, {"model", Role::kAssistant},
    {"bot", Role::kAssistant},     {"function_call", Role::kAssistant},
    {"function", Role::kTool},     {"function_response", Role::kTool},
    {"observation", Role::kTool},
};

Role RoleOf(const json& message, MessageStyle style) {
  const bool chat = style == MessageStyle::kChat;
  const json* value = Find(message, chat ? "role" : "from");
  if (value == nullptr || !value->is_string()) Malformed(chat ? "no role" : "no from");
  const auto& name = value->get_ref<const std::string&>();
  const auto find = [&](const auto& table) -> const RoleName* {
    const auto* found = std::find_if(std::begin(table), std::end(table),
                                     [&](const RoleName& entry) { return entry.name == name; });
    return found == std::end(table) ? nullptr : found;
  };
  const RoleName* found = chat ? find(kChatRoles) : find(kShareGptRoles);
  return found != nullptr ? found->role : ParseRole(name);
}

// Content as a list: only text can be learned from.
std::string TextOfParts(const json& parts) {
  std::string text;
  size_t number = 0;
  for (const json& part : parts) {
    const std::string where = "part " + std::to_string(++number) + " of content ";
    if (!part.is_object()) Malformed(where + "is not an object");
    const json* type = Find(part, "type");
    if (type == nullptr || !type->is_string()) Malformed(where + "has no type");
    if (*type != "text") {
      Malformed(where + "is of type \"" + type->get<std::string>().substr(0, 40) +
                "\": only text can be read");
    }
    text += RequiredText(part, "text");
  }
  return text;
}

// JSON without blanks between its tokens; key order and the spelling of numbers stay.
std::string Compact(const std::string& text) {
  std::string compact;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!in_string && (c == ' ' || c == '\t' || c == '\n' || c == '\r')) continue;
    compact += c;
    if (in_string && c == '\\') {
      compact += text[++i];
    } else if (c == '"') {
      in_string = !in_string;
    }
  }
  return compact;
}

// Writing JSON recurses, and so does copying it, which nothing here does.
bool DeeperThan(const json& value, int levels) {
  if (!value.is_structured()) return false;
  return levels == 0 || std::any_of(value.begin(), value.end(), [&](const json& inner) {
           return DeeperThan(inner, levels - 1);
         });
}

std::string ArgumentsOf(const json& function) {
  const json* arguments = Find(function, "arguments");
  if (arguments == nullptr) return "{}";
  if (arguments->is_string()) {
    const auto& text = arguments->get_ref<const std::string&>();
    return json::accept(text) ? Compact(text) : arguments->dump();
  }
  if (DeeperThan(*arguments, 100)) Malformed("arguments are nested deeper than 100 levels");
  return arguments->dump();
}

std::string LineOfCall(const json* function) {
  if (function == nullptr || !function->is_object()) {
    Malformed("a tool call is not an object with a function");
  }
  return R"({"call":)" + json(RequiredText(*function, "name")).dump() + R"(,"arguments":)" +
         ArgumentsOf(*function) + "}";
}

void AppendCalls(const json& message, std::string* text) {
  const auto append = [&](const json* function) {
    if (!text->empty()) *text += '\n';
    *text += LineOfCall(function);
  };
  if (const json* calls = Find(message, "tool_calls")) {
    if (!calls->is_array()) Malformed("tool_calls is not a list");
    for (const json& call : *calls) {
      append(call.is_object() ? Find(call, "function") : nullptr);
    }
  }
  if (const json* function = Find(message, "function_call")) append(function);
}

bool HasCalls(const json& message) {
  const json* calls = Find(message, "tool_calls");
  return Find(message, "function_call") != nullptr || (calls != nullptr && !calls->empty());
}

Segment SegmentOf(const json& message, MessageStyle style) {
  if (!message.is_object()) Malformed("not an object");
  Segment segment;
  segment.role = RoleOf(message, style);
  const json* name = Find(message, "name");
  if (name != nullptr && !name->is_string()) Malformed("name is not a string");
  const std::string field = style == MessageStyle::kChat ? "content" : "value";
  const json* content = Find(message, field);
  const bool calls = style == MessageStyle::kChat && HasCalls(message);
  if (calls && segment.role != Role::kAssistant) {
    Malformed(std::string("tool calls in a message of role ") + Name(segment.role));
  }
  if (content != nullptr && content->is_array()) {
    segment.text = TextOfParts(*content);
  } else if (content != nullptr || !calls) {
    if (content == nullptr) Malformed("no " + field);
    if (!content->is_string()) Malformed(field + " is neither a string nor a list of text parts");
    segment.text = content->get_ref<const std::string&>();
  }
  if (calls) AppendCalls(message, &segment.text);
  return segment;
}

}  // namespace

void Dialog::AddText(Role role, std::string text) {
  segments_.push_back({role, 1.0f, std::move(text)});
  weighed_.push_back(false);
}

void Dialog::AddMessages(const json& messages, MessageStyle style) {
  size_t number = 0;
  for (const json& message : messages) {
    ++number;
    try {
      Segment segment = SegmentOf(message, style);
      const json* weight = Find(message, "weight");
      if (weight != nullptr) segment.weight = WeightOf(*weight, "");
      segments_.push_back(std::move(segment));
      weighed_.push_back(weight != nullptr);
    } catch (const core::DataError& error) {
      Malformed("message " + std::to_string(number) + ": " + error.what());
    }
  }
}

void Dialog::Judge(Role role, float weight, bool all) {
  bool judged = false;
  for (size_t i = segments_.size(); i-- > 0;) {
    if (segments_[i].role != role) continue;
    if (!weighed_[i]) segments_[i].weight = judged && !all ? 0.0f : weight;
    judged = true;
  }
  if (!judged) Malformed("weight, but no assistant message that it could judge");
}

bool Dialog::AllEmpty() const {
  return std::all_of(segments_.begin(), segments_.end(),
                     [](const Segment& segment) { return segment.text.empty(); });
}

bool BeginsWithAssistant(const json& messages) {
  return !messages.empty() && messages[0].is_object() &&
         RoleOf(messages[0], MessageStyle::kChat) == Role::kAssistant;
}

}  // namespace moat::data::formats
