// Reading --loss_roles.
#include "configs/loss_roles.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "configs/bounds.h"
#include "core/nearest.h"

namespace moat::configs {
namespace {

constexpr double kLargest = 1e6;

struct Item {
  std::string role;
  double weight = 1;  // NaN: not a number
};

Item ItemOf(const std::string& text) {
  const size_t equals = text.find('=');
  Item item = {text.substr(0, equals), 1};
  if (equals == std::string::npos) return item;
  const std::string number = text.substr(equals + 1);
  char* end = nullptr;
  item.weight = std::strtod(number.c_str(), &end);
  if (number.empty() || *end != '\0') item.weight = std::nan("");
  return item;
}

}  // namespace

double LossWeightOf(const std::vector<std::string>& loss_roles, const std::string& role) {
  double weight = 0;
  for (const std::string& text : loss_roles) {
    const Item item = ItemOf(text);
    if (item.role == role || item.role == "all") weight = item.weight;
  }
  return weight;
}

void ValidateLossRoles(const std::vector<std::string>& loss_roles) {
  const std::vector<std::string> known = {"system", "user", "assistant", "tool", "text", "all"};
  if (loss_roles.empty()) Expected("loss_roles", "", "at least one role, or all");
  for (const std::string& text : loss_roles) {
    const Item item = ItemOf(text);
    if (std::find(known.begin(), known.end(), item.role) == known.end()) {
      const std::string nearest = core::NearestName(item.role, known);
      Expected("loss_roles", text,
               "system, user, assistant, tool, text or all" +
                   (nearest.empty() ? "" : "; did you mean " + nearest + "?"));
    }
    if (!(item.weight >= 0 && item.weight <= kLargest)) {
      Expected("loss_roles", text, "a weight from 0 to 1000000 behind the =, as in user=0.1");
    }
  }
  const bool some = std::any_of(known.begin(), known.end() - 1, [&](const std::string& role) {
    return static_cast<float>(LossWeightOf(loss_roles, role)) > 0;
  });
  if (!some) Expected("loss_roles", loss_roles.back(), "a role that weighs more than 0");
}

}  // namespace moat::configs
