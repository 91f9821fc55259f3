// Finds where elements end by counting brackets outside strings; what they hold is JSON's affair.
#include "data/formats/json_elements.h"

namespace moat::data::formats {
namespace {

bool IsBlank(int c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

}  // namespace

int JsonElements::SkipBlanks() {
  while (IsBlank(stream_.Peek())) stream_.Get();
  line_ = stream_.line();
  return stream_.Peek();
}

// Of an element that is too long the rest is read over.
void JsonElements::Keep(int c, std::string* text, std::string* problem) const {
  if (text->size() < kMaxRecordBytes) {
    text->push_back(static_cast<char>(c));
  } else if (problem->empty()) {
    *problem = "longer than 64 MiB";
  }
}

bool JsonElements::ReportAfterEnd(std::string* text, std::string* problem) {
  ended_ = true;
  if (SkipBlanks() < 0) return false;
  while (stream_.Peek() >= 0 && text->size() < 200) {
    text->push_back(static_cast<char>(stream_.Get()));
  }
  *problem = "text behind the end of the JSON array";
  return true;
}

bool JsonElements::Next(std::string* text, std::string* problem) {
  text->clear();
  problem->clear();
  if (ended_) return false;
  if (!started_) {
    SkipBlanks();
    stream_.Get();  // '['
    started_ = true;
    if (SkipBlanks() == ']') {
      stream_.Get();
      return ReportAfterEnd(text, problem);
    }
  }
  SkipBlanks();
  int depth = 0;
  bool in_string = false;
  while (true) {
    const int c = stream_.Peek();
    if (c < 0) {
      ended_ = true;
      *problem = "the JSON array does not end: the file was cut";
      return true;
    }
    if (!in_string && depth == 0 && (c == ',' || c == ']')) break;
    stream_.Get();
    Keep(c, text, problem);
    if (in_string && c == '\\') {
      if (stream_.Peek() >= 0) Keep(stream_.Get(), text, problem);
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
    }
  }
  const int64_t line = line_;
  if (stream_.Get() == ']') {
    std::string rest, after;
    if (ReportAfterEnd(&rest, &after)) *problem = after;
  }
  line_ = line;
  return true;
}

}  // namespace moat::data::formats
