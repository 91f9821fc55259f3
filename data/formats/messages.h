// Messages as segments: roles under their many names, content, tool calls, weights. Included by
// sources only.
#pragma once

#include <string>
#include <vector>

#include "data/formats/record_fields.h"
#include "data/interaction.h"

namespace moat::data::formats {

// How a shape of record writes a message.
enum class MessageStyle {
  kChat,      // {"role": ..., "content": ...}
  kShareGpt,  // {"from": ..., "value": ...}
};

// The segments of a record while it is read.
//
// A message's text is its content (a string, or the texts of a list of text parts, one after the
// other). Of an assistant's tool calls each adds a line of compact JSON,
// {"call":NAME,"arguments":...}; arguments that are a string of JSON are that JSON.
class Dialog {
 public:
  void AddText(Role role, std::string text);
  // One after the other; throws DataError naming the message.
  void AddMessages(const json& messages, MessageStyle style);

  // A record's weight: of the last segment with that role, and 0 for the others of it that are not
  // weighed themselves; or of all of those. Throws DataError without a segment to judge.
  void Judge(Role role, float weight, bool all);

  bool AllEmpty() const;
  const std::vector<Segment>& segments() const { return segments_; }
  std::vector<Segment> Take() { return std::move(segments_); }

 private:
  std::vector<Segment> segments_;
  std::vector<bool> weighed_;  // [segments]: by the message itself
};

// Whether a list of messages begins with an assistant's, so that it goes on with what came before.
bool BeginsWithAssistant(const json& messages);

}  // namespace moat::data::formats
