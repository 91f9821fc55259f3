// Splitting: which interactions are for validation, so that nothing in it was seen in training.
//
// Groups stay together. With at least kMinUsers known users a group is a user; else a path (a
// file's history and its text); else the dialogs that start alike: one a prefix of another, or the
// same request answered twice.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/interaction.h"

namespace moat::data {

struct Split {
  std::vector<bool> validation;  // [interactions]
  std::string rule;              // "by user (57 users)"
  int64_t groups = 0;
};

class Splitter {
 public:
  static constexpr size_t kMinUsers = 20;

  // Keeps a few numbers per interaction and, without a path, one per message.
  void Add(const Interaction& interaction);

  // Takes groups in an order that depends on their names and the seed, passing over those that are
  // too large, until they hold `fraction` of the bytes. With two or more groups neither side is
  // empty.
  Split Decide(double fraction, uint64_t seed) const;

 private:
  struct Item {
    uint64_t user = 0;  // hashes; 0: none
    uint64_t path = 0;
    int64_t bytes = 0;
    size_t first_prefix = 0;  // of prefixes_; one per message
    size_t messages = 0;      // 0 with a path
    bool request = false;     // a user spoke before the last message
  };

  std::vector<uint64_t> DialogGroups(int64_t* dialogs, int64_t* groups) const;
  std::vector<uint64_t> Groups(std::string* rule) const;

  std::vector<Item> items_;
  std::vector<uint64_t> prefixes_;  // hash of the first 1, 2, ... messages
};

}  // namespace moat::data
