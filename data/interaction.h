// An interaction as the importers give it: text, roles and weights, before any tokenizer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/tokenizer.h"

namespace moat::data {

struct Segment {
  Role role = Role::kText;
  float weight = 1.0f;  // finite, >= 0; counts where the role carries loss
  std::string text;     // any bytes

  bool operator==(const Segment&) const = default;
};

struct Interaction {
  std::string id;           // unique within its source
  std::string user;         // "": unknown
  std::string request;      // alternatives that answer one request share it; "": none
  std::string path;         // the file it is about; "": none. Only splitting looks at it.
  int64_t time_micros = 0;  // Unix time; 0: unknown
  std::vector<Segment> segments;

  bool operator==(const Interaction&) const = default;
  int64_t TextBytes() const {
    int64_t bytes = 0;
    for (const Segment& segment : segments) bytes += static_cast<int64_t>(segment.text.size());
    return bytes;
  }
};

}  // namespace moat::data
