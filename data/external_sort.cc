// Sorted runs in one file, merged with a heap.
#include "data/external_sort.h"

#include <algorithm>
#include <functional>

namespace moat::data {
namespace {

constexpr size_t kPageBytes = 4096;

}  // namespace

template <size_t kWords>
ExternalSort<kWords>::ExternalSort(std::filesystem::path path, size_t memory_bytes)
    : limit_(std::max<size_t>(memory_bytes / sizeof(Record), 1)), file_(std::move(path)) {}

template <size_t kWords>
void ExternalSort<kWords>::Add(const Record& record) {
  if (records_.size() == limit_) WriteRun();
  if (records_.size() == records_.capacity()) {
    records_.reserve(std::min(limit_, std::max<size_t>(2 * records_.capacity(), 1024)));
  }
  records_.push_back(record);
  ++size_;
}

template <size_t kWords>
void ExternalSort<kWords>::WriteRun() {
  std::sort(records_.begin(), records_.end());
  for (const Record& record : records_) file_.Append(record);
  run_ends_.push_back(file_.size());
  records_.clear();
}

template <size_t kWords>
void ExternalSort<kWords>::Close() {
  if (run_ends_.empty()) {
    std::sort(records_.begin(), records_.end());
    return;
  }
  WriteRun();
  std::vector<Record>().swap(records_);
  file_.Close();
}

template <size_t kWords>
ExternalSort<kWords>::Reader::Reader(const ExternalSort& sort) : sort_(sort) {
  if (sort.run_ends_.empty()) return;
  const size_t share = sort.limit_ * sizeof(Record) / sort.run_ends_.size();
  const size_t records = std::max(share, kPageBytes) / sizeof(Record);
  int64_t first = 0;
  for (const int64_t end : sort.run_ends_) {
    runs_.emplace_back(sort.file_, first, end, records * kWords);
    first = end;
  }
  for (size_t run = 0; run < runs_.size(); ++run) Push(run);
}

template <size_t kWords>
void ExternalSort<kWords>::Reader::Push(size_t run) {
  std::pair<Record, size_t> next{{}, run};
  if (!runs_[run].Next(next.first)) return;
  heap_.push_back(next);
  std::push_heap(heap_.begin(), heap_.end(), std::greater<>());
}

template <size_t kWords>
bool ExternalSort<kWords>::Reader::Next(Record* record) {
  if (sort_.run_ends_.empty()) {
    if (in_memory_ == sort_.records_.size()) return false;
    *record = sort_.records_[in_memory_++];
    return true;
  }
  if (heap_.empty()) return false;
  std::pop_heap(heap_.begin(), heap_.end(), std::greater<>());
  const size_t run = heap_.back().second;
  *record = heap_.back().first;
  heap_.pop_back();
  Push(run);
  return true;
}

template class ExternalSort<2>;
template class ExternalSort<3>;
template class ExternalSort<4>;

}  // namespace moat::data
