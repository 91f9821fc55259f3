// What splitting gives: the side of every interaction, in two bits each.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moat::data {

enum class Side : uint8_t { kTrain, kValidation, kTest, kLeftOut };

// The split of a data set that an interaction goes to: "train", "validation", "test". REQUIRES: not
// kLeftOut.
inline const char* SplitNameOf(Side side) {
  return side == Side::kTrain ? "train" : side == Side::kValidation ? "validation" : "test";
}

// The other way. REQUIRES: one of the three.
inline Side SideOfSplit(const std::string& split) {
  return split == "train" ? Side::kTrain : split == "validation" ? Side::kValidation : Side::kTest;
}

struct SplitRequest {
  std::string by = "auto";  // auto | user | time | path | id
  double validation_fraction = 0.05;
  double test_fraction = 0;  // 0: no test split
  uint64_t seed = 1;
  // Of an append: whether the data set's groups are users, and the key that hashed them. An import
  // leaves both alone.
  bool users = false;
  std::string key = {};  // so that a list may leave it out
};

class Split {
 public:
  explicit Split(size_t interactions) : packed_((interactions + 3) / 4) {}
  explicit Split(std::vector<uint8_t> packed) : packed_(std::move(packed)) {}  // as packed() gave

  Side SideOf(size_t number) const {
    return static_cast<Side>(packed_[number / 4] >> number % 4 * 2 & 3);
  }
  // REQUIRES: kTrain so far.
  void Put(size_t number, Side side) {
    packed_[number / 4] |= static_cast<uint8_t>(static_cast<unsigned>(side) << number % 4 * 2);
  }

  const std::vector<uint8_t>& packed() const { return packed_; }

  std::string rule;  // "by user (57 users)"
  int64_t groups = 0;
  int64_t joining = 0;  // left out by an append, since they would join what two splits hold

 private:
  std::vector<uint8_t> packed_;
};

}  // namespace moat::data
