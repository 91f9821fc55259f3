// The strict reader of flagfiles: lines of the form --name=value, each with its place.
#pragma once

#include <string>
#include <vector>

namespace moat::configs {

struct FlagLine {
  std::string text;    // "--name=value", "--name", "--noname"
  std::string source;  // the file, as it was named; "command line" for arguments
  std::string origin;  // "FILE:LINE"; "command line" for arguments
};

// The lines of FILE in order; a line --flagfile=OTHER is replaced by the lines of OTHER (relative
// to the current directory). Blank lines and lines that start with '#' are left out, blanks around
// a line are dropped. `named_at` is where FILE was named. Throws ConfigError, starting with
// FILE:LINE, for a file that cannot be read, files that name each other in a circle, a line that
// does not start with "--", and a comment behind a value.
std::vector<FlagLine> ReadFlagfile(const std::string& file, const std::string& named_at);

// The flagfile that is meant by the path of one that is not there: the nearest by name beside it,
// else in configs/; "" where none is near.
std::string NearestFlagfile(const std::string& file);

// "configs/a.flags:3: " or, for the command line, "": how a message about a flag starts.
std::string Place(const std::string& origin);

}  // namespace moat::configs
