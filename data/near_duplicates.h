// Interactions that nearly repeat an earlier one.
//
// The minima of a sketch are cut into bands of a few rows; interactions that agree in all rows of a
// band are brought together by sorting, and are compared by their smallest hashes. So pairs that
// are less alike are seldom looked at, and of pairs that are as alike as the threshold less than
// one in a hundred is missed (Leskovec, Rajaraman, Ullman, "Mining of massive datasets", chapter
// 3).
//
// Where very many agree in a band (a form letter), each is compared with the first kCompared of
// them only. Memory: external sorts; on the disk, of each interaction, 16 bytes
// per band and 4 per shingle (1 KiB at most).
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "data/external_sort.h"
#include "data/number_file.h"
#include "data/sketch.h"

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
  void Add(uint64_t number, const Sketch& sketch);

  // Adds all that `next` gives until it returns false, numbered from `first` on, but for what is
  // left out, with `threads` threads.
  void AddAll(const std::function<bool(Interaction*)>& next, uint64_t first,
              const std::vector<bool>& left_out, int threads);

  // Marks, in their order, interactions at least as alike as the threshold to an earlier one that
  // stays. Returns how many. Once.
  int64_t Mark(std::vector<bool>* left_out);

 private:
  void PairUp(ExternalSort<2>* pairs);
  // Reads what Add stored at `place`; returns the interaction's number.
  uint64_t ReadSketch(uint64_t place, std::vector<uint32_t>* smallest) const;

  std::filesystem::path directory_;
  double threshold_;
  size_t sort_bytes_;
  size_t rows_;
  NumberFile sketches_;    // number, count, smallest hashes
  ExternalSort<2> bands_;  // hash of the rows and of which band it is, place in sketches_
};

}  // namespace moat::data
