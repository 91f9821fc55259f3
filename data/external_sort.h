// Sorting more records than memory holds: how an import brings equal hashes together.
//
// Records are collected, sorted whenever the memory allowed is full, and written as a run; reading
// merges the runs. Neither the number of records nor how many of them share a key changes what is
// held in memory; what fits is never written. A hash's records follow one another, so a reader
// visits group after group.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

#include "data/number_file.h"

namespace moat::data {

template <size_t kWords>  // 2, 3 or 4
class ExternalSort {
 public:
  using Record = std::array<uint64_t, kWords>;  // compared word by word

  static constexpr size_t kMemoryBytes = 32 << 20;

  // `path` is a file to use for a while.
  explicit ExternalSort(std::filesystem::path path, size_t memory_bytes = kMemoryBytes);

  void Add(const Record& record);
  void Close();  // once, before reading

  int64_t size() const { return size_; }
  int64_t runs() const { return static_cast<int64_t>(run_ends_.size()); }  // 0: all in memory
  size_t held_bytes() const { return records_.capacity() * sizeof(Record); }

  // All records in ascending order. Any number of readers may follow one another or live at once;
  // each holds at most memory_bytes, or a page per run where that is more.
  class Reader {
   public:
    // REQUIRES: `sort` is closed and outlives the reader.
    explicit Reader(const ExternalSort& sort);
    bool Next(Record* record);  // false at the end

   private:
    void Push(size_t run);

    const ExternalSort& sort_;
    size_t in_memory_ = 0;  // position, without runs
    std::vector<NumberReader> runs_;
    std::vector<std::pair<Record, size_t>> heap_;  // the next record of each run
  };

 private:
  void WriteRun();

  size_t limit_;  // records held
  std::vector<Record> records_;
  int64_t size_ = 0;
  NumberFile file_;
  std::vector<int64_t> run_ends_;  // in numbers
};

}  // namespace moat::data
