// Where importers put what they read: interactions, counts, and records that could not be read.
#pragma once

#include <cstdint>
#include <string>

#include "data/interaction.h"

namespace moat::data {

class ImportSink {
 public:
  virtual ~ImportSink() = default;

  // One good interaction. REQUIRES: it has segments.
  virtual void Add(Interaction interaction) = 0;

  // A record that could not be read: counted, and written to the quarantine file.
  // `text` is the record, of which the start is kept.
  virtual void Quarantine(const std::string& file, int64_t line, const std::string& reason,
                          const std::string& text) = 0;

  // Adds one to a count that the report prints, as in "binary files skipped".
  virtual void Count(const std::string& what) = 0;
};

}  // namespace moat::data
