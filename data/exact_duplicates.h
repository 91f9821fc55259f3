// Interactions that repeat an earlier one word for word.
//
// Two are equal when their segments are: roles, texts and weights, in order. Ids, users, times,
// requests and paths do not count. A weight does, because the same answer rated good and rated bad
// are two judgements, not one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/external_sort.h"
#include "data/interaction.h"

namespace moat::data {

class ExactDuplicates {
 public:
  // `directory` takes a file for a while.
  explicit ExactDuplicates(const std::filesystem::path& directory,
                           size_t memory_bytes = ExternalSort<3>::kMemoryBytes);

  // Keeps 128 bits of a SHA-256, so that no two different interactions are taken for equal.
  void Add(const Interaction& interaction);

  // Marks what repeats an earlier interaction; the first one stays. `left_out` has one bit per
  // interaction added. Returns how many were marked. Once.
  int64_t Mark(std::vector<bool>* left_out);

 private:
  ExternalSort<3> digests_;  // digest, digest, number
};

}  // namespace moat::data
