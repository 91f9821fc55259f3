// One pass over the groups, with an account per side.
#include "data/group_choice.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

namespace moat::data {
namespace {

using Group = std::pair<int64_t, uint64_t>;  // bytes, group

// A side that groups are taken for.
struct Account {
  Side side;
  bool wanted;
  double target;
  double taken = 0;
  int64_t groups = 0;
};

class Chooser {
 public:
  Chooser(const GroupsInOrder& in, const SplitRequest& request, ExternalSort<2>* chosen)
      : groups_(in.groups), by_time_(request.by == "time"), chosen_(chosen) {
    accounts_ = {{{Side::kValidation, groups_ >= 2, request.validation_fraction * in.total_bytes},
                  {Side::kTest, groups_ >= 3 && request.test_fraction > 0,
                   request.test_fraction * in.total_bytes}}};
    if (by_time_) std::swap(accounts_[0], accounts_[1]);
  }

  void Offer(uint64_t group, int64_t bytes) {
    for (Account& account : accounts_) {
      if (!account.wanted || account.taken >= account.target || !Spare(account)) continue;
      const double with_it = account.taken + static_cast<double>(bytes);
      if (!by_time_ && with_it > 1.5 * account.target) continue;
      return Take(group, bytes, &account);
    }
    left_.emplace_back(bytes, group);
    std::stable_sort(left_.begin(), left_.end(), [](const Group& a, const Group& b) {
      return a.first < b.first;  // of equals the one that came first
    });
    if (left_.size() > accounts_.size()) left_.pop_back();
  }

  // Gives a side without any the smallest group left.
  void FillEmpty() {
    size_t next = 0;
    for (Account& account : accounts_) {
      if (!account.wanted || account.groups > 0) continue;
      const auto [bytes, group] = left_[next++];
      Take(group, bytes, &account);
    }
  }

 private:
  // Whether there would still be a group for training and one for each other side without any.
  bool Spare(const Account& account) const {
    int64_t needed = 1;
    for (const Account& other : accounts_) {
      if (&other != &account && other.wanted && other.groups == 0) ++needed;
    }
    return taken_ + 1 + needed <= groups_;
  }

  void Take(uint64_t group, int64_t bytes, Account* account) {
    account->taken += static_cast<double>(bytes);
    ++account->groups;
    ++taken_;
    chosen_->Add({group, static_cast<uint64_t>(account->side)});
  }

  int64_t groups_;
  bool by_time_;
  ExternalSort<2>* chosen_;
  std::array<Account, 2> accounts_{};
  int64_t taken_ = 0;
  std::vector<Group> left_;  // the smallest groups left for training, as many as there are sides
};

}  // namespace

void ChooseGroups(const GroupsInOrder& in, const SplitRequest& request, ExternalSort<2>* chosen) {
  Chooser chooser(in, request, chosen);
  ExternalSort<3>::Reader reader(in.order);
  ExternalSort<3>::Record record;
  while (reader.Next(&record)) chooser.Offer(record[1], static_cast<int64_t>(record[2]));
  chooser.FillEmpty();
}

}  // namespace moat::data
