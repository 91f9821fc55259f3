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
// An append feeds what the data set holds first (AddOld). Groups are then those of old and new
// together, and a group with old members is where they are; one with old members on two sides joins
// what was apart, so that its new members are left out. A group without any goes where its hash
// says, so that a user who stays away for a version comes back to the same side; by time, the
// newest of them are held out.
//
// Memory: the filter and a few external sorts, whatever the number of interactions, and two bits
// for each of them in the result.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "data/external_sort.h"
#include "data/hash_filter.h"
#include "data/interaction.h"
#include "data/number_file.h"
#include "data/old_interactions.h"
#include "data/split.h"

namespace moat::data {

class Splitter {
 public:
  static constexpr size_t kMinUsers = 20;

  // `directory` takes files while the splitter lives.
  Splitter(std::filesystem::path directory, SplitRequest request,
           size_t sort_bytes = ExternalSort<4>::kMemoryBytes);

  void Add(const Interaction& interaction);

  // What is in the data set already. REQUIRES: before any Add; the request has a key.
  void AddOld(const OldInteraction& old);

  // Puts the groups in an order (by a hash of their names and the seed; by time, from the one with
  // the newest interaction on) and chooses as group_choice.h says. `left_out` has one bit per
  // interaction added, old ones first, or is empty; those marked get Side::kLeftOut and count for
  // nothing. The result is numbered from the first new one on. Once.
  // Throws DataError when nothing has what `request.by` goes by.
  Split Decide(const std::vector<bool>& left_out);

 private:
  // What is set aside of an interaction, ahead of its prefixes' hashes.
  enum Field : size_t { kOld, kUser, kPath, kTime, kBytes, kMessages, kFields };
  enum class Kind : uint64_t { kUser, kPath, kDialog };
  struct Item {
    uint64_t number = 0;
    // Of kOld: 0 for a new one, else one more than its side.
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
    int64_t joining = 0;  // in groups with old members on two sides
  };

  using Fields = std::array<uint64_t, kFields>;

  void Append(const Interaction& interaction, Fields fields, bool as_dialog);
  template <typename Visit>
  void ForEachKept(const std::vector<bool>& left_out, const Visit& visit) const;
  bool GroupsAreUsers(const std::vector<bool>& left_out) const;
  uint64_t StartOf(const Item& item) const;
  Group GroupOf(const Item& item, bool by_user) const;
  uint64_t RankOf(uint64_t group) const;
  // Adds (rank, bit of its side) for each group that an old interaction may be in.
  void AddSides(const Item& old, bool by_user, ExternalSort<2>* sides) const;
  // Adds (rank of its group, number and kind, bytes, time) for each new member of a group.
  void Gather(const std::vector<bool>& left_out, bool by_user, ExternalSort<4>* members,
              ExternalSort<2>* sides, Totals* totals) const;
  // Adds (key of the order, rank, bytes) for each group that is free to go anywhere, and (rank,
  // side) to `chosen` for each other.
  void SumGroups(const ExternalSort<4>& members, const ExternalSort<2>& sides,
                 ExternalSort<3>* order, ExternalSort<2>* chosen, Totals* totals) const;
  std::string RuleOf(const Totals& totals, bool by_user) const;

  std::filesystem::path directory_;
  SplitRequest request_;
  size_t sort_bytes_;
  NumberFile items_;
  uint64_t count_ = 0;
  uint64_t old_ = 0;   // of them
  HashFilter starts_;  // and the paths that users changed
};

}  // namespace moat::data
