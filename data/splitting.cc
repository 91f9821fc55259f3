// Groups by hash, an order of groups, and the sides of their members.
#include "data/splitting.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <unordered_set>

#include "core/error.h"
#include "core/rng.h"
#include "data/group_choice.h"
#include "data/user_key.h"

namespace moat::data {
namespace {

constexpr size_t kItemBuffer = 128 << 10;  // numbers

uint64_t HashOf(std::string_view kind, std::string_view text) {
  return core::KeyFromName(core::KeyFromName(0, kind), text) | 1;  // never 0
}

// Under another name than a path's own hash or a dialog's start.
uint64_t ChangedByUser(uint64_t path) { return core::Mix64(path ^ HashOf("changed by", "user")); }

// Numbers in the order of the times.
uint64_t Ordered(int64_t time) {
  return static_cast<uint64_t>(time) ^ uint64_t { 1 } << 63;
}

// Gives the members of chosen groups their side: both are in the order of the groups' ranks.
// `old` numbers come before the split's.
void PutMembers(const ExternalSort<4>& members, const ExternalSort<2>& chosen, uint64_t old,
                Split* split) {
  ExternalSort<4>::Reader members_reader(members);
  ExternalSort<2>::Reader chosen_reader(chosen);
  ExternalSort<4>::Record member;
  ExternalSort<2>::Record group;
  bool more = chosen_reader.Next(&group);
  while (more && members_reader.Next(&member)) {
    while (more && group[0] < member[0]) more = chosen_reader.Next(&group);
    if (more && group[0] == member[0])
      split->Put((member[1] >> 2) - old, static_cast<Side>(group[1]));
  }
}

// Sends groups where their ranks say, which are as good as drawn: `order` holds them.
void ChooseByRank(const ExternalSort<3>& order, const SplitRequest& request,
                  ExternalSort<2>* chosen) {
  ExternalSort<3>::Reader reader(order);
  ExternalSort<3>::Record group;
  while (reader.Next(&group)) {
    const double place = std::ldexp(static_cast<double>(group[1]), -64);
    const Side side = place < request.validation_fraction ? Side::kValidation
                      : place < request.validation_fraction + request.test_fraction ? Side::kTest
                                                                                    : Side::kTrain;
    chosen->Add({group[1], static_cast<uint64_t>(side)});
  }
}

// The sides that old members hold of groups that are asked for in the order of their ranks.
class HeldSides {
 public:
  explicit HeldSides(const ExternalSort<2>& sides) : reader_(sides) {
    more_ = reader_.Next(&next_);
  }

  uint64_t Of(uint64_t rank) {  // bits
    uint64_t bits = 0;
    for (; more_ && next_[0] <= rank; more_ = reader_.Next(&next_)) {
      if (next_[0] == rank) bits |= next_[1];
    }
    return bits;
  }

 private:
  ExternalSort<2>::Reader reader_;
  ExternalSort<2>::Record next_ = {};
  bool more_ = false;
};

}  // namespace

Splitter::Splitter(std::filesystem::path directory, SplitRequest request, size_t sort_bytes)
    : directory_(std::move(directory)),
      request_(std::move(request)),
      sort_bytes_(sort_bytes),
      items_(directory_ / "items") {}

void Splitter::Add(const Interaction& interaction) {
  Fields fields = {};
  const std::string& key = request_.key;  // users as shards hold them
  if (!interaction.user.empty()) {
    fields[kUser] =
        key.empty() ? HashOf("user", interaction.user) : HashOfUser(key, interaction.user) | 1;
  }
  if (!interaction.path.empty()) fields[kPath] = HashOf("path", interaction.path);
  if (fields[kUser] != 0 && fields[kPath] != 0) starts_.Insert(ChangedByUser(fields[kPath]));
  Append(interaction, fields, interaction.path.empty() || request_.by == "id");
}

void Splitter::AddOld(const OldInteraction& old) {
  Fields fields = {};
  fields[kOld] = 1 + static_cast<uint64_t>(old.side);
  if (old.user != 0) fields[kUser] = old.user | 1;
  if (!old.interaction.path.empty()) fields[kPath] = HashOf("path", old.interaction.path);
  if (fields[kUser] != 0 && fields[kPath] != 0) starts_.Insert(ChangedByUser(fields[kPath]));
  Append(old.interaction, fields, true);
  ++old_;
}

void Splitter::Append(const Interaction& interaction, Fields fields, bool as_dialog) {
  fields[kTime] = Ordered(interaction.time_micros);
  fields[kBytes] = static_cast<uint64_t>(interaction.TextBytes()) + 1;
  std::vector<uint64_t> prefixes;
  if (as_dialog) {
    bool request = false;  // a user spoke before the last message
    uint64_t hash = HashOf("dialog", "");
    for (const Segment& segment : interaction.segments) {
      if (&segment == &interaction.segments.back()) break;
      hash = core::Mix64(hash ^ HashOf(Name(segment.role), segment.text));
      prefixes.push_back(hash);
      request = request || segment.role == Role::kUser;
    }
    if (request) starts_.Insert(hash);
    const Segment& last = interaction.segments.back();
    prefixes.push_back(core::Mix64(hash ^ HashOf(Name(last.role), last.text)));
    starts_.Insert(prefixes.back());
  }
  fields[kMessages] = prefixes.size();
  items_.Append(fields);
  items_.Append(prefixes);
  ++count_;
}

template <typename Visit>
void Splitter::ForEachKept(const std::vector<bool>& left_out, const Visit& visit) const {
  NumberReader reader(items_, 0, items_.size(), kItemBuffer);
  Item item;
  for (; item.number < count_; ++item.number) {
    reader.Next(item.fields);
    item.prefixes.resize(item.fields[kMessages]);
    reader.Next(item.prefixes);
    if (left_out.empty() || !left_out[item.number]) visit(item);
  }
}

bool Splitter::GroupsAreUsers(const std::vector<bool>& left_out) const {
  if (!request_.key.empty()) return request_.users;
  if (request_.by == "path" || request_.by == "id") return false;
  std::unordered_set<uint64_t> users;  // at most kMinUsers
  ForEachKept(left_out, [&](const Item& item) {
    if (item.fields[kUser] != 0 && users.size() < kMinUsers) users.insert(item.fields[kUser]);
  });
  if (request_.by == "user" && users.empty()) {
    throw core::DataError(
        "--split=user: expected interactions with a user, found none; use --split=auto");
  }
  return request_.by == "user" || users.size() >= kMinUsers;
}

uint64_t Splitter::StartOf(const Item& item) const {
  // The whole dialog is a start, so that there is always one.
  return *std::find_if(item.prefixes.begin(), item.prefixes.end(),
                       [&](uint64_t prefix) { return starts_.MayContain(prefix); });
}

Splitter::Group Splitter::GroupOf(const Item& item, bool by_user) const {
  const uint64_t user = item.fields[kUser];
  const uint64_t path = item.fields[kPath];
  if (by_user && user != 0) return {user, Kind::kUser};
  if (path == 0 || request_.by == "id") return {StartOf(item), Kind::kDialog};
  // The text of a file that several users changed would give their changes away: train only.
  if (by_user && starts_.MayContain(ChangedByUser(path))) return {0, Kind::kPath};
  return {path, Kind::kPath};
}

uint64_t Splitter::RankOf(uint64_t group) const {
  return core::Mix64(group ^ core::Mix64(request_.seed));
}

void Splitter::AddSides(const Item& old, bool by_user, ExternalSort<2>* sides) const {
  const uint64_t bit = uint64_t{1} << (old.fields[kOld] - 1);
  if (by_user && old.fields[kUser] != 0) {
    sides->Add({RankOf(old.fields[kUser]), bit});
    return;
  }
  // Whether it was a file's or a dialog is not kept: the other group has no new members.
  if (old.fields[kPath] != 0) sides->Add({RankOf(old.fields[kPath]), bit});
  sides->Add({RankOf(StartOf(old)), bit});
}

void Splitter::SumGroups(const ExternalSort<4>& members, const ExternalSort<2>& sides,
                         ExternalSort<3>* order, ExternalSort<2>* chosen, Totals* totals) const {
  const bool by_time = request_.by == "time";
  uint64_t rank = 0, bytes = 0, newest = 0;
  uint64_t size = 0;  // of the group
  HeldSides held(sides);
  const auto close_group = [&] {
    const uint64_t bits = bytes > 0 ? held.Of(rank) : 0;
    if (std::popcount(bits) > 1) {
      chosen->Add({rank, static_cast<uint64_t>(Side::kLeftOut)});
      totals->joining += static_cast<int64_t>(size);
    } else if (bits != 0) {
      chosen->Add({rank, static_cast<uint64_t>(std::countr_zero(bits))});
    } else if (bytes > 0) {
      order->Add({by_time ? ~newest : rank, rank, bytes});
    }
    bytes = newest = size = 0;
  };
  ExternalSort<4>::Reader reader(members);
  ExternalSort<4>::Record member;
  while (reader.Next(&member)) {
    const auto kind = static_cast<Kind>(member[1] & 3);
    if (bytes == 0 || member[0] != rank) {
      close_group();
      rank = member[0];
      ++(kind == Kind::kUser   ? totals->users
         : kind == Kind::kPath ? totals->paths
                               : totals->dialog_groups);
    }
    if (kind == Kind::kDialog) ++totals->dialogs;
    ++size;
    bytes += member[2];
    newest = std::max(newest, member[3]);
  }
  close_group();
}

std::string Splitter::RuleOf(const Totals& totals, bool by_user) const {
  const std::string by_dialog = "by id (" + std::to_string(totals.dialogs) + " dialogs in " +
                                std::to_string(totals.dialog_groups) + " groups that start alike)";
  const std::string by_path = "by path (" + std::to_string(totals.paths) + " paths)";
  const std::string rule = by_user ? "by user (" + std::to_string(totals.users) + " users)"
                           : totals.paths == 0   ? by_dialog
                           : totals.dialogs == 0 ? by_path
                                                 : by_path + " and " + by_dialog;
  return request_.by == "time" ? "by time, groups " + rule : rule;
}

void Splitter::Gather(const std::vector<bool>& left_out, bool by_user, ExternalSort<4>* members,
                      ExternalSort<2>* sides, Totals* totals) const {
  bool timed = false;
  ForEachKept(left_out, [&](const Item& item) {
    if (item.fields[kOld] != 0) return AddSides(item, by_user, sides);
    totals->bytes += static_cast<double>(item.fields[kBytes]);
    timed = timed || item.fields[kTime] != Ordered(0);
    const Group group = GroupOf(item, by_user);
    if (group.hash == 0) return;
    members->Add({RankOf(group.hash), item.number << 2 | static_cast<uint64_t>(group.kind),
                  item.fields[kBytes], item.fields[kTime]});
  });
  members->Close();
  sides->Close();
  if (request_.by == "time" && !timed && request_.key.empty()) {
    throw core::DataError(
        "--split=time: expected interactions with a time, found none; use --split=auto");
  }
}

Split Splitter::Decide(const std::vector<bool>& left_out) {
  items_.Close();
  const bool by_user = GroupsAreUsers(left_out);
  Totals totals;
  ExternalSort<4> members(directory_ / "members", sort_bytes_);
  ExternalSort<2> sides(directory_ / "sides", sort_bytes_);
  Gather(left_out, by_user, &members, &sides, &totals);
  ExternalSort<3> order(directory_ / "groups", sort_bytes_);
  ExternalSort<2> chosen(directory_ / "chosen", sort_bytes_);
  SumGroups(members, sides, &order, &chosen, &totals);
  order.Close();
  if (request_.by == "path" && totals.paths == 0) {
    throw core::DataError(
        "--split=path: expected files or git history, found neither; use --split=auto");
  }
  if (!request_.key.empty() && request_.by != "time") {
    ChooseByRank(order, request_, &chosen);
  } else {
    ChooseGroups({order, order.size(), totals.bytes}, request_, &chosen);
  }
  chosen.Close();

  Split split(count_ - old_);
  split.rule = RuleOf(totals, by_user);
  split.groups = order.size();
  split.joining = totals.joining;
  PutMembers(members, chosen, old_, &split);
  for (size_t i = old_; i < left_out.size(); ++i) {
    if (left_out[i]) split.Put(i - old_, Side::kLeftOut);
  }
  return split;
}

}  // namespace moat::data
