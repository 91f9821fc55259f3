// Interactions that nearly repeat an earlier one.
//
// Signatures are cut into bands of a few rows; interactions that agree in all rows of a band are
// brought together by sorting, and are compared by their whole signatures. So pairs that are less
// alike are seldom looked at, and of pairs that are as alike as the threshold less than one in a
// hundred is missed (Leskovec, Rajaraman, Ullman, "Mining of massive datasets", chapter 3).
//
// Where very many agree in a band (a form letter), each is compared with the first kCompared of
// them only. Memory: external sorts; on the disk 520 bytes per interaction and 16 per band.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "data/external_sort.h"
#include "data/min_hash.h"
#include "data/number_file.h"
#include "data/spool.h"

namespace moat::data {

// Rows of a band: as many as still find a pair of that likeness with a probability of 0.99.
size_t RowsPerBand(double threshold);

class NearDuplicates {
 public:
  static constexpr size_t kCompared = 4;

  // `directory` takes files for a while.
  NearDuplicates(const std::filesystem::path& directory, double threshold,
                 size_t sort_bytes = ExternalSort<2>::kMemoryBytes);

  // Interaction `number`. REQUIRES: numbers rise.
  void Add(uint64_t number, const Signature& signature);

  // Adds what is left of a spool, with `threads` threads.
  void AddAll(SpoolReader* spool, const std::vector<bool>& left_out, int threads);

  // Marks, in their order, interactions at least as alike as the threshold to an earlier one that
  // stays. Returns how many. Once.
  int64_t Mark(std::vector<bool>* left_out);

 private:
  void PairUp(ExternalSort<2>* pairs);
  uint64_t ReadSignature(uint64_t index, Signature* signature) const;  // returns its number

  std::filesystem::path directory_;
  double threshold_;
  size_t sort_bytes_;
  size_t rows_;
  uint64_t count_ = 0;
  NumberFile signatures_;  // number, signature
  ExternalSort<2> bands_;  // hash of the rows and of which band it is, index into signatures_
};

}  // namespace moat::data
