// Bands, pairs, and a verdict on each pair in the order of the input.
#include "data/near_duplicates.h"

#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <thread>

#include "core/rng.h"

namespace moat::data {
namespace {

constexpr size_t kMaxRows = 16;
constexpr size_t kBatchInteractions = 4096;
constexpr int64_t kBatchBytes = 8 << 20;

struct Read {
  uint64_t number = 0;
  Interaction interaction;
  Sketch sketch;
};

void Sign(std::vector<Read>* batch, int threads) {
  const auto work = [&](size_t first) {
    for (size_t i = first; i < batch->size(); i += static_cast<size_t>(threads)) {
      (*batch)[i].sketch = SketchOf((*batch)[i].interaction);
    }
  };
  std::vector<std::jthread> workers;
  for (int i = 1; i < threads; ++i) workers.emplace_back(work, static_cast<size_t>(i));
  work(0);
}

}  // namespace

size_t RowsPerBand(double threshold) {
  size_t rows = 1;
  for (size_t more = 2; more <= kMaxRows; ++more) {
    const double all_rows = std::pow(threshold, static_cast<double>(more));
    const size_t bands = kMinHashes / more;
    const double missed = std::pow(1 - all_rows, static_cast<double>(bands));
    if (missed <= 0.01) rows = more;
  }
  return rows;
}

NearDuplicates::NearDuplicates(const std::filesystem::path& directory, double threshold,
                               size_t sort_bytes)
    : directory_(directory),
      threshold_(threshold),
      sort_bytes_(sort_bytes),
      rows_(RowsPerBand(threshold)),
      sketches_(directory / "sketches"),
      bands_(directory / "bands", sort_bytes) {}

void NearDuplicates::Add(uint64_t number, const Sketch& sketch) {
  const auto place = static_cast<uint64_t>(sketches_.size());
  std::vector<uint64_t> numbers(2 + (sketch.smallest.size() + 1) / 2);
  numbers[0] = number;
  numbers[1] = sketch.smallest.size();
  std::memcpy(&numbers[2], sketch.smallest.data(), sketch.smallest.size() * sizeof(uint32_t));
  sketches_.Append(numbers);
  for (size_t band = 0; band < kMinHashes / rows_; ++band) {
    uint64_t hash = core::Mix64(band + 1);
    for (size_t row = 0; row < rows_; ++row) {
      hash = core::Mix64(hash ^ sketch.minima[band * rows_ + row]);
    }
    bands_.Add({hash, place});
  }
}

void NearDuplicates::AddAll(const std::function<bool(Interaction*)>& next, uint64_t first,
                            const std::vector<bool>& left_out, int threads) {
  std::vector<Read> batch;
  int64_t bytes = 0;
  const auto flush = [&] {
    Sign(&batch, threads);
    for (const Read& read : batch) Add(read.number, read.sketch);
    batch.clear();
    bytes = 0;
  };
  Interaction interaction;
  for (uint64_t number = first; next(&interaction); ++number) {
    if (left_out[number]) continue;
    bytes += interaction.TextBytes();
    batch.push_back({number, std::move(interaction), {}});
    if (batch.size() == kBatchInteractions || bytes >= kBatchBytes) flush();
  }
  flush();
}

void NearDuplicates::PairUp(ExternalSort<2>* pairs) {
  std::vector<uint64_t> firsts;  // of the band's members that agree
  uint64_t hash = 0;
  ExternalSort<2>::Reader reader(bands_);
  ExternalSort<2>::Record member;
  while (reader.Next(&member)) {
    if (member[0] != hash) firsts.clear();
    hash = member[0];
    for (const uint64_t first : firsts) {
      if (first != member[1]) pairs->Add({member[1], first});  // the same in two bands
    }
    if (firsts.size() < kCompared) firsts.push_back(member[1]);
  }
  pairs->Close();
}

uint64_t NearDuplicates::ReadSketch(uint64_t place, std::vector<uint32_t>* smallest) const {
  std::array<uint64_t, 2> head;
  sketches_.ReadAt(static_cast<int64_t>(place), head);
  std::array<uint64_t, (kSmallest + 1) / 2> numbers;
  sketches_.ReadAt(static_cast<int64_t>(place + head.size()),
                   std::span(numbers).first((head[1] + 1) / 2));
  smallest->resize(head[1]);
  std::memcpy(smallest->data(), numbers.data(), smallest->size() * sizeof(uint32_t));
  return head[0];
}

int64_t NearDuplicates::Mark(std::vector<bool>* left_out) {
  sketches_.Close();
  bands_.Close();
  ExternalSort<2> pairs(directory_ / "pairs", sort_bytes_);
  PairUp(&pairs);
  int64_t marked = 0;
  std::vector<uint32_t> later, earlier;
  uint64_t number = 0;
  ExternalSort<2>::Reader reader(pairs);
  ExternalSort<2>::Record pair, before = {};  // no place is paired with itself
  for (; reader.Next(&pair); before = pair) {
    if (pair == before) continue;
    if (pair[0] != before[0]) number = ReadSketch(pair[0], &later);
    if ((*left_out)[number]) continue;
    const uint64_t other = ReadSketch(pair[1], &earlier);
    if ((*left_out)[other] || Likeness(later, earlier) < threshold_) continue;
    (*left_out)[number] = true;
    ++marked;
  }
  return marked;
}

}  // namespace moat::data
