// Splitting: which interactions are for validation and test, so that nothing in one split was seen
// in another.
//
// Groups stay together. With at least kMinUsers known users a group is a user; else a path (a
// file's history and its text); else the dialogs that start alike. Of dialogs that is settled
// without comparing any two: call a start the whole of some dialog, or all but the last message of
// one in which a user spoke by then; a dialog's group is the shortest start that it begins with.
// Dialogs of which one is a prefix of another have the same one, and so have two answers to one
// request. The starts are kept in a HashFilter: where it is wrong, a group is larger than it need
// be.
//
// Memory: the filter and a few external sorts, whatever the number of interactions, and two bits
// for each of them in the result.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/external_sort.h"
#include "data/hash_filter.h"
#include "data/interaction.h"
#include "data/number_file.h"
#include "data/split.h"

namespace moat::data {

class Splitter {
 public:
  static constexpr size_t kMinUsers = 20;

  // `directory` takes files while the splitter lives.
  Splitter(std::filesystem::path directory, SplitRequest request,
           size_t sort_bytes = ExternalSort<4>::kMemoryBytes);

  void Add(const Interaction& interaction);

  // Puts the groups in an order (by a hash of their names and the seed; by time, from the one with
  // the newest interaction on) and chooses as group_choice.h says. `left_out` has one bit per
  // interaction added, or is empty; those marked get Side::kLeftOut and count for nothing. Once.
  // Throws DataError when nothing has what `request.by` goes by.
  Split Decide(const std::vector<bool>& left_out);

 private:
  // What is set aside of an interaction, ahead of its prefixes' hashes.
  enum Field : size_t { kUser, kPath, kTime, kBytes, kMessages, kFields };
  enum class Kind : uint64_t { kUser, kPath, kDialog };
  struct Item {
    uint64_t number = 0;
    std::vector<uint64_t> fields = std::vector<uint64_t>(kFields);
    std::vector<uint64_t> prefixes;  // hash of the first 1, 2, ... messages
  };
  struct Group {
    uint64_t hash = 0;  // 0: in no group, for training
    Kind kind = Kind::kDialog;
  };
  struct Totals {
    double bytes = 0;
    int64_t users = 0, paths = 0, dialog_groups = 0;  // groups by kind
    int64_t dialogs = 0;
  };

  template <typename Visit>
  void ForEachKept(const std::vector<bool>& left_out, const Visit& visit) const;
  bool GroupsAreUsers(const std::vector<bool>& left_out) const;
  uint64_t StartOf(const Item& item) const;
  Group GroupOf(const Item& item, bool by_user) const;
  // Adds (rank of its group, number and kind, bytes, time) for each member of a group.
  void Gather(const std::vector<bool>& left_out, bool by_user, ExternalSort<4>* members,
              Totals* totals) const;
  // Adds (key of the order, rank, bytes) for each group.
  void SumGroups(const ExternalSort<4>& members, ExternalSort<3>* order, Totals* totals) const;
  std::string RuleOf(const Totals& totals, bool by_user) const;

  std::filesystem::path directory_;
  SplitRequest request_;
  size_t sort_bytes_;
  NumberFile items_;
  uint64_t count_ = 0;
  HashFilter starts_;  // and the paths that users changed
};

}  // namespace moat::data
