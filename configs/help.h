// The help text of a command.
#pragma once

#include <string>

namespace moat::configs {

enum class HelpOrder { kFlagsFirst, kExamplesFirst };

// Usage, summary, examples, and the command's flags with defaults; -h puts the examples first.
std::string HelpText(const std::string& command, HelpOrder order);

}  // namespace moat::configs
