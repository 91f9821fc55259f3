// The elements of a JSON array as texts, one by one, so that memory does not depend on its length.
#pragma once

#include <cstdint>
#include <string>

#include "data/formats/text_stream.h"

namespace moat::data::formats {

class JsonElements {
 public:
  // REQUIRES: what comes next in the stream, after blanks, is '['.
  explicit JsonElements(TextStream* stream) : stream_(*stream) {}

  // The next element as it is written, not yet checked to be JSON; false after the last one.
  // `problem` says why what was found cannot be an element ("": it may be one).
  bool Next(std::string* text, std::string* problem);

  int64_t line() const { return line_; }  // on which the element starts

 private:
  int SkipBlanks();  // and returns what comes next, not taken
  void Keep(int c, std::string* text, std::string* problem) const;
  bool ReportAfterEnd(std::string* text, std::string* problem);

  TextStream& stream_;
  int64_t line_ = 1;
  bool started_ = false, ended_ = false;
};

}  // namespace moat::data::formats
