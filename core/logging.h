// Messages for people on stderr, through glog, each with time and rank. Data goes to stdout, never
// through here.
//
//   core::Log() << "resumed from step " << step;      // every message is one line, flushed at once
//
// glog's own files are off: the launcher keeps one log per node and attempt.
#pragma once

#include <sstream>
#include <string>

namespace moat::core {

// Call once at the start of main. `rank` < 0: a program without ranks.
void StartLogging(const char* program, int rank = -1);

class Log {
 public:
  enum Level { kInfo, kWarning, kError };  // an error: what a program ends with
  explicit Log(Level level = kInfo) : level_(level) {}
  ~Log();  // writes the line
  Log(const Log&) = delete;
  template <typename T>
  Log& operator<<(const T& value) {
    text_ << value;
    return *this;
  }

 private:
  Level level_;
  std::ostringstream text_;
};

}  // namespace moat::core
