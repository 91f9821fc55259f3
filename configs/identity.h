// Which flags make a run the same run.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "configs/command_line.h"

namespace moat::configs {

// The model, what it is fed, and how it is updated: may not change between attempts of a run.
const std::vector<std::string>& IdentityFlags();

// Allowed to change, but sums are taken in another order from there on: the chain of equal bits
// ends.
const std::vector<std::string>& BitFlags();

// Names and values of the identity flags that have one, but for --data and --data_weights: data
// sets are known by their digests, and weights by the shares they come to.
std::map<std::string, std::string> IdentityOf(const CommandLine& line);

}  // namespace moat::configs
