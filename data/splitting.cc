// Groups by hash and union-find, then a seeded order of groups.
#include "data/splitting.h"

#include <algorithm>
#include <numeric>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "core/rng.h"

namespace moat::data {
namespace {

uint64_t HashOf(std::string_view kind, std::string_view text) {
  return core::KeyFromName(core::KeyFromName(0, kind), text) | 1;  // never 0
}

// Disjoint sets with path halving; a set's root is its smallest member.
class DisjointSets {
 public:
  explicit DisjointSets(size_t size) : parent_(size) {
    std::iota(parent_.begin(), parent_.end(), size_t{0});
  }
  size_t Root(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void Join(size_t a, size_t b) {
    a = Root(a);
    b = Root(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<size_t> parent_;
};

}  // namespace

void Splitter::Add(const Interaction& interaction) {
  Item item;
  if (!interaction.user.empty()) item.user = HashOf("user", interaction.user);
  item.bytes = interaction.TextBytes() + 1;
  if (!interaction.path.empty()) {
    item.path = HashOf("path", interaction.path);
  } else {
    item.first_prefix = prefixes_.size();
    item.messages = interaction.segments.size();
    uint64_t hash = HashOf("dialog", "");
    for (size_t i = 0; i < item.messages; ++i) {
      const Segment& segment = interaction.segments[i];
      hash = core::Mix64(hash ^ HashOf(Name(segment.role), segment.text));
      prefixes_.push_back(hash);
      if (segment.role == Role::kUser && i + 1 < item.messages) item.request = true;
    }
  }
  items_.push_back(item);
}

std::vector<uint64_t> Splitter::DialogGroups(int64_t* dialogs, int64_t* groups) const {
  std::unordered_map<uint64_t, size_t> whole;     // hash of a whole dialog
  std::unordered_map<uint64_t, size_t> requests;  // of all but its last message
  DisjointSets sets(items_.size());
  const auto join = [&sets](std::unordered_map<uint64_t, size_t>& known, uint64_t hash, size_t i) {
    const auto [found, fresh] = known.emplace(hash, i);
    if (!fresh) sets.Join(found->second, i);
  };
  for (size_t i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    if (item.messages == 0) continue;
    const size_t last = item.first_prefix + item.messages - 1;
    join(whole, prefixes_[last], i);
    if (item.request) join(requests, prefixes_[last - 1], i);
  }
  std::vector<uint64_t> result(items_.size(), 0);
  std::unordered_set<size_t> roots;
  for (size_t i = 0; i < items_.size(); ++i) {
    for (size_t m = 0; m + 1 < items_[i].messages; ++m) {
      const auto prefix = whole.find(prefixes_[items_[i].first_prefix + m]);
      if (prefix != whole.end()) sets.Join(prefix->second, i);
    }
  }
  for (size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].messages == 0) continue;
    const Item& root = items_[sets.Root(i)];
    result[i] = prefixes_[root.first_prefix + root.messages - 1];
    roots.insert(sets.Root(i));
    ++*dialogs;
  }
  *groups = static_cast<int64_t>(roots.size());
  return result;
}

std::vector<uint64_t> Splitter::Groups(std::string* rule) const {
  std::unordered_set<uint64_t> users, paths, paths_of_users;
  for (const Item& item : items_) {
    if (item.user != 0) users.insert(item.user);
    if (item.path != 0) paths.insert(item.path);
    if (item.user != 0 && item.path != 0) paths_of_users.insert(item.path);
  }
  int64_t dialogs = 0;
  int64_t dialog_groups = 0;
  std::vector<uint64_t> groups = DialogGroups(&dialogs, &dialog_groups);
  const bool by_user = users.size() >= kMinUsers;
  for (size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].path != 0) groups[i] = items_[i].path;
    if (!by_user) continue;
    if (items_[i].user != 0) groups[i] = items_[i].user;
    // The text of a file that several users changed would give their changes away: train only.
    if (items_[i].user == 0 && paths_of_users.contains(items_[i].path)) groups[i] = 0;
  }
  if (by_user) {
    *rule = "by user (" + std::to_string(users.size()) + " users)";
    return groups;
  }
  const std::string by_dialog = "by id (" + std::to_string(dialogs) + " dialogs in " +
                                std::to_string(dialog_groups) + " groups that start alike)";
  const std::string by_path = "by path (" + std::to_string(paths.size()) + " paths)";
  *rule = paths.empty() ? by_dialog : dialogs == 0 ? by_path : by_path + " and " + by_dialog;
  return groups;
}

Split Splitter::Decide(double fraction, uint64_t seed) const {
  Split split;
  const std::vector<uint64_t> group_of = Groups(&split.rule);
  std::unordered_map<uint64_t, int64_t> sizes;
  double total = 0;
  for (size_t i = 0; i < items_.size(); ++i) {
    if (group_of[i] != 0) sizes[group_of[i]] += items_[i].bytes;
    total += static_cast<double>(items_[i].bytes);
  }
  std::vector<std::tuple<uint64_t, uint64_t, int64_t>> order;  // rank, group, bytes
  for (const auto& [group, bytes] : sizes) {
    order.emplace_back(core::Mix64(group ^ core::Mix64(seed)), group, bytes);
  }
  std::sort(order.begin(), order.end());
  split.groups = static_cast<int64_t>(order.size());
  const double target = fraction * total;
  double taken = 0;
  std::unordered_set<uint64_t> chosen;
  for (const auto& [rank, group, bytes] : order) {
    if (taken >= target || chosen.size() + 1 >= order.size()) break;
    if (taken + static_cast<double>(bytes) > 1.5 * target) continue;
    chosen.insert(group);
    taken += static_cast<double>(bytes);
  }
  if (chosen.empty() && order.size() >= 2) {  // every group is too large: the smallest one
    const auto smallest = std::min_element(
        order.begin(), order.end(),
        [](const auto& a, const auto& b) { return std::get<2>(a) < std::get<2>(b); });
    chosen.insert(std::get<1>(*smallest));
  }
  for (const uint64_t group : group_of) split.validation.push_back(chosen.contains(group));
  return split;
}

}  // namespace moat::data
