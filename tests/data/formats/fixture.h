// Records for the tests of data/formats: their interactions in short, and why they are malformed.
#pragma once

#include <string>
#include <vector>

#include "data/formats/record_file.h"
#include "tests/data/fixture.h"

namespace moat::data::formats {

// "user: text" a segment, with its weight where that is not 1, as "assistant*0.5: text".
inline std::string Short(const Interaction& interaction) {
  std::string text;
  for (const Segment& segment : interaction.segments) {
    std::string weight = std::to_string(segment.weight);
    weight.erase(weight.find_last_not_of('0') + 1);
    if (weight.ends_with('.')) weight.pop_back();
    text += (text.empty() ? "" : " | ") + std::string(Name(segment.role)) +
            (segment.weight == 1 ? "" : "*" + weight) + ": " + segment.text;
  }
  return text;
}

inline std::vector<std::string> Shorts(const std::vector<Interaction>& interactions) {
  std::vector<std::string> texts;
  for (const Interaction& interaction : interactions) texts.push_back(Short(interaction));
  return texts;
}

// Of a record that gives one interaction.
inline std::string ShortOf(const std::string& record, const configs::RecordConfig& config = {}) {
  return Short(ParseRecord(record, config, "f:1").at(0));
}

inline std::string ReasonOf(const std::string& record, const configs::RecordConfig& config = {}) {
  return ErrorOf(core::ExitCode::kData, [&] { ParseRecord(record, config, "f:1"); });
}

// What a file of this name and content gives.
inline KeepingSink Imported(const std::string& name, const std::string& content,
                            const configs::RecordConfig& config = {}) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / name, content);
  KeepingSink sink;
  const std::string path = (directory / name).string();
  ImportRecords(path, KindOf(path, config.format), config, 2, &sink);
  return sink;
}

}  // namespace moat::data::formats
