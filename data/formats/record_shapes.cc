// A reader per shape.
#include "data/formats/record_shapes.h"

#include <array>
#include <utility>

#include "data/formats/messages.h"

namespace moat::data::formats {
namespace {

using configs::RecordConfig;

constexpr const char* kConversations = "conversations";

bool HasAll(const json& record, std::initializer_list<std::string> names) {
  for (const std::string& name : names) {
    if (Find(record, name) == nullptr) return false;
  }
  return true;
}

// The list of messages, under the name the flag gives or, without the flag, ShareGPT's.
const json* MessagesIn(const json& record, const RecordConfig& config) {
  const json* messages = Find(record, config.field_messages);
  return messages != nullptr ? messages : Find(record, kConversations);
}

bool IsShareGpt(const json& messages) {
  return messages.is_array() && !messages.empty() && messages[0].is_object() &&
         messages[0].contains("from");
}

void AddSystem(const json& record, const RecordConfig& config, Dialog* dialog) {
  std::string text = OptionalText(record, config.field_system);
  if (!text.empty()) dialog->AddText(Role::kSystem, std::move(text));
}

// A prompt or an answer: a text, or messages.
void AddTurn(const json& record, const std::string& field, Role role, Dialog* dialog) {
  const json* turn = Find(record, field);
  if (turn != nullptr && turn->is_array()) {
    if (turn->empty()) Malformed(field + " is empty");
    return dialog->AddMessages(*turn, MessageStyle::kChat);
  }
  std::string text = RequiredText(record, field);
  if (text.empty() && role == Role::kAssistant) Malformed(field + " is empty");
  dialog->AddText(role, std::move(text));
}

Interaction Finished(Dialog dialog, const RecordFacts& facts, Role judged,
                     const RecordConfig& config) {
  if (dialog.AllEmpty()) Malformed("every message is empty");
  if (facts.weight) dialog.Judge(judged, *facts.weight, config.weight_on == "all");
  Interaction interaction;
  interaction.id = facts.id;
  interaction.user = facts.user;
  interaction.request = facts.request;
  interaction.time_micros = facts.time_micros;
  interaction.segments = dialog.Take();
  return interaction;
}

Dialog MessagesDialog(const json& record, const RecordConfig& config, MessageStyle style) {
  const json* messages = MessagesIn(record, config);
  const std::string name = Find(record, config.field_messages) == nullptr && messages != nullptr
                               ? kConversations
                               : config.field_messages;
  if (messages == nullptr) Malformed("no " + name);
  if (!messages->is_array()) Malformed(name + " is not a list");
  if (messages->empty()) Malformed(name + " is empty");
  Dialog dialog;
  AddSystem(record, config, &dialog);
  dialog.AddMessages(*messages, style);
  return dialog;
}

Dialog PromptDialog(const json& record, const RecordConfig& config) {
  Dialog dialog;
  AddSystem(record, config, &dialog);
  AddTurn(record, config.field_prompt, Role::kUser, &dialog);
  AddTurn(record, config.field_completion, Role::kAssistant, &dialog);
  return dialog;
}

Dialog AlpacaDialog(const json& record, const RecordConfig& config) {
  Dialog dialog;
  AddSystem(record, config, &dialog);
  std::string instruction = RequiredText(record, "instruction");
  const std::string input = OptionalText(record, "input");
  if (!input.empty()) instruction += "\n\n" + input;
  dialog.AddText(Role::kUser, std::move(instruction));
  AddTurn(record, "output", Role::kAssistant, &dialog);
  return dialog;
}

Dialog TextDialog(const json& record, const RecordConfig& config) {
  std::string text = RequiredText(record, config.field_text);
  if (text.empty()) Malformed(config.field_text + " is empty");
  Dialog dialog;
  dialog.AddText(Role::kText, std::move(text));
  return dialog;
}

// One of two answers. A list of messages that does not begin with the assistant's is the whole
// dialog, prompt and all.
Dialog AnswerDialog(const json& record, const RecordConfig& config, const std::string& field) {
  const json* answer = Find(record, field);
  const bool whole = answer != nullptr && answer->is_array() && !BeginsWithAssistant(*answer);
  Dialog dialog;
  AddSystem(record, config, &dialog);
  if (!whole) AddTurn(record, config.field_prompt, Role::kUser, &dialog);
  AddTurn(record, field, Role::kAssistant, &dialog);
  return dialog;
}

std::vector<Interaction> PreferencePair(const json& record, const RecordConfig& config,
                                        const RecordFacts& facts) {
  RecordFacts chosen = facts;
  if (chosen.request.empty()) chosen.request = facts.id;
  RecordFacts rejected = chosen;
  chosen.id += ":chosen";
  rejected.id += ":rejected";
  if (!chosen.weight) chosen.weight = 1.0f;
  rejected.weight = 0.0f;
  std::vector<Interaction> pair;
  pair.push_back(
      Finished(AnswerDialog(record, config, "chosen"), chosen, Role::kAssistant, config));
  pair.push_back(
      Finished(AnswerDialog(record, config, "rejected"), rejected, Role::kAssistant, config));
  return pair;
}

Dialog DialogOf(const json& record, Shape shape, const RecordConfig& config) {
  switch (shape) {
    case Shape::kChat:
      return MessagesDialog(record, config, MessageStyle::kChat);
    case Shape::kShareGpt:
      return MessagesDialog(record, config, MessageStyle::kShareGpt);
    case Shape::kAlpaca:
      return AlpacaDialog(record, config);
    case Shape::kText:
      return TextDialog(record, config);
    case Shape::kPrompt:
    case Shape::kPreference:
      break;
  }
  return PromptDialog(record, config);
}

}  // namespace

const char* Name(Shape shape) {
  constexpr std::array<const char*, kShapes> names = {"chat",   "sharegpt", "preference",
                                                      "prompt", "alpaca",   "text"};
  return names[static_cast<size_t>(shape)];
}

std::optional<Shape> ShapeNamed(const std::string& name) {
  for (int i = 0; i < kShapes; ++i) {
    if (name == Name(static_cast<Shape>(i))) return static_cast<Shape>(i);
  }
  return std::nullopt;
}

std::optional<Shape> DetectShape(const json& record, const RecordConfig& config) {
  if (!record.is_object()) return std::nullopt;
  if (const json* messages = MessagesIn(record, config)) {
    return IsShareGpt(*messages) ? Shape::kShareGpt : Shape::kChat;
  }
  if (HasAll(record, {"chosen", "rejected"})) return Shape::kPreference;
  if (HasAll(record, {config.field_prompt, config.field_completion})) return Shape::kPrompt;
  if (HasAll(record, {"instruction", "output"})) return Shape::kAlpaca;
  if (HasAll(record, {config.field_text})) return Shape::kText;
  return std::nullopt;
}

std::vector<Interaction> InteractionsOf(const json& record, Shape shape, const RecordConfig& config,
                                        const RecordOrigin& origin) {
  if (!record.is_object()) Malformed("not a JSON object");
  RecordFacts facts = FactsOf(record, config, origin.from_table);
  if (facts.id.empty()) facts.id = origin.name;
  if (shape == Shape::kPreference) return PreferencePair(record, config, facts);
  const Role judged = shape == Shape::kText ? Role::kText : Role::kAssistant;
  std::vector<Interaction> one;
  one.push_back(Finished(DialogOf(record, shape, config), facts, judged, config));
  return one;
}

}  // namespace moat::data::formats
