// --loss_roles: which roles carry loss, and how much of it.
#pragma once

#include <string>
#include <vector>

namespace moat::configs {

// What the tokens of a role ("user") count: items are ROLE or ROLE=WEIGHT, ROLE may be all, the
// last one that speaks of the role wins. 0 where none does. REQUIRES: valid items.
double LossWeightOf(const std::vector<std::string>& loss_roles, const std::string& role);

// Throws ConfigError naming the item, unless every item is valid and some role counts.
void ValidateLossRoles(const std::vector<std::string>& loss_roles);

}  // namespace moat::configs
