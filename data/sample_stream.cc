// Rows of packed blocks, written out as a micro-batch.
#include "data/sample_stream.h"

#include <algorithm>
#include <deque>

#include "core/crc32c.h"
#include "core/error.h"
#include "core/rng.h"
#include "data/sample_order.h"
#include "data/window_store.h"

namespace moat::data {
namespace {

uint64_t RowHash(const Batch& batch, int64_t row) {
  const auto begin = static_cast<size_t>(row * batch.seq_len);
  const auto size = static_cast<size_t>(batch.seq_len) * 4;
  uint32_t crc = core::Crc32c(batch.tokens.data() + begin, size);
  crc = core::Crc32c(batch.targets.data() + begin, size, crc);
  crc = core::Crc32c(batch.weights.data() + begin, size, crc);
  crc = core::Crc32c(batch.span_start.data() + begin, size, crc);
  return core::Mix64(core::Mix64(batch.samples[static_cast<size_t>(row)]) + crc);
}

// Weights of the targets of `piece`, whose first slot goes to `out`, which holds zeros.
void FillWeights(const LoadedWindow& window, const PlacedPiece& piece, const RoleWeights& roles,
                 float* out) {
  const std::vector<int64_t>& starts = window.run.segment_start;
  const int64_t first_target = piece.first_token + 1;
  const int64_t end_target = first_target + piece.slots;
  auto segment = static_cast<size_t>(std::upper_bound(starts.begin(), starts.end(), first_target) -
                                     starts.begin() - 1);
  for (; segment < window.run.role.size() && starts[segment] < end_target; ++segment) {
    const float weight =
        window.run.weight[segment] * roles[static_cast<size_t>(window.run.role[segment])];
    if (weight == 0) continue;
    const int64_t begin = std::max(first_target, starts[segment] + window.header[segment]);
    const int64_t end = std::min(end_target, starts[segment + 1]);
    if (begin < end) std::fill_n(out + (begin - first_target), end - begin, weight);
  }
}

// Asks memory for what FillRow will read of a row: the rows of a batch lie all over a group, and
// waiting for the first line of every piece would take half the time.
void FetchAhead(const LoadedWindow& window, int64_t row) {
  constexpr int64_t kLine = 64, kLines = 6;  // then the processor has seen the pattern
  for (const PlacedPiece& piece : window.Row(row)) {
    const int64_t width = window.run.token_width;
    const uint8_t* tokens = window.run.token_bytes.get() + piece.first_token * width;
    const int64_t bytes = std::min(piece.slots * width, kLines * kLine);
    for (int64_t at = 0; at < bytes; at += kLine) __builtin_prefetch(tokens + at);
    const auto segment = static_cast<size_t>(piece.segment);
    __builtin_prefetch(&window.run.segment_start[segment]);
    __builtin_prefetch(&window.run.role[segment]);
    __builtin_prefetch(&window.run.weight[segment]);
    __builtin_prefetch(&window.header[segment]);
  }
}

}  // namespace

struct SampleStream::State {
  struct Part {  // one data set
    Part(const Dataset& dataset, const std::string& split, const StreamOptions& options)
        : windows(dataset, split, options.packing), order(windows.RowsPerWindow(), options.seed) {
      for (const ShardEntry& shard : dataset.ShardsOf(split)) stored += core::Bytes(shard.bytes);
    }

    WindowStore windows;
    SampleOrder order;
    core::Bytes stored;  // of the split
  };
  struct Place {
    const Part* part;
    SamplePlace row;

    std::shared_ptr<const LoadedWindow> Window() const { return part->windows.Get(row.window); }
  };

  State(const std::vector<Dataset>& datasets, const std::vector<double>& weights,
        const std::string& split, const StreamOptions& wanted)
      : options(wanted),
        parts(OpenParts(datasets, split, wanted)),
        mixture(weights.empty() ? Sizes() : Billionths(weights)) {
    MOAT_CHECK(weights.empty() || weights.size() == parts.size(), "one weight for each data set");
  }

  static std::deque<Part> OpenParts(const std::vector<Dataset>& datasets, const std::string& split,
                                    const StreamOptions& wanted) {
    std::deque<Part> opened;
    for (const Dataset& dataset : datasets) opened.emplace_back(dataset, split, wanted);
    return opened;
  }
  std::vector<uint64_t> Sizes() const {
    std::vector<uint64_t> sizes;
    for (const Part& part : parts) {
      sizes.push_back(static_cast<uint64_t>(part.order.samples_per_epoch()));
    }
    return sizes;
  }
  void FillRow(const LoadedWindow& window, int64_t window_row, int64_t row, Batch* batch) const;
  Batch Fill(const std::vector<uint64_t>& numbers, const std::vector<Place>& places) const;

  StreamOptions options;
  std::deque<Part> parts;
  Mixture mixture;
};

void SampleStream::State::FillRow(const LoadedWindow& window, int64_t window_row, int64_t row,
                                  Batch* batch) const {
  const int64_t base = row * batch->seq_len;
  int64_t at = 0;
  for (const PlacedPiece& piece : window.Row(window_row)) {
    const int64_t begin = base + at;
    window.run.WithTokens([&](const auto* tokens) {
      const auto* source = tokens + piece.first_token;
      int32_t* read = batch->tokens.data() + begin;
      int32_t* target = batch->targets.data() + begin;
      for (int64_t i = 0; i < piece.slots; ++i) read[i] = static_cast<int32_t>(source[i]);
      for (int64_t i = 0; i < piece.slots; ++i) target[i] = static_cast<int32_t>(source[i + 1]);
    });
    std::fill_n(batch->span_start.begin() + begin, piece.slots, static_cast<int32_t>(at));
    FillWeights(window, piece, options.roles, batch->weights.data() + begin);
    at += piece.slots;
  }
  for (; at < batch->seq_len; ++at) {  // padding: each slot is alone
    batch->span_start[static_cast<size_t>(base + at)] = static_cast<int32_t>(at);
  }
}

Batch SampleStream::State::Fill(const std::vector<uint64_t>& numbers,
                                const std::vector<Place>& places) const {
  Batch batch;
  batch.rows = static_cast<int64_t>(numbers.size());
  batch.seq_len = options.packing.seq_len;
  batch.samples = numbers;
  const auto size = static_cast<size_t>(batch.rows * batch.seq_len);
  batch.tokens.assign(size, 0);
  batch.targets.assign(size, 0);
  batch.weights.assign(size, 0.0f);
  batch.span_start.assign(size, 0);
  std::shared_ptr<const LoadedWindow> window, next;
  for (size_t row = 0; row < places.size(); ++row) {
    window = row == 0 ? places[0].Window() : std::move(next);
    if (row + 1 < places.size()) {
      next = places[row + 1].Window();
      FetchAhead(*next, places[row + 1].row.row);
    }
    FillRow(*window, places[row].row.row, static_cast<int64_t>(row), &batch);
    batch.content_hash += RowHash(batch, static_cast<int64_t>(row));
  }
  return batch;
}

SampleStream::SampleStream(const Dataset& dataset, const std::string& split,
                           const StreamOptions& options)
    : SampleStream(std::vector<Dataset>{dataset}, {}, split, options) {}

SampleStream::SampleStream(const std::vector<Dataset>& datasets, const std::vector<double>& weights,
                           const std::string& split, const StreamOptions& options)
    : state_(std::make_unique<State>(datasets, weights, split, options)) {}

SampleStream::SampleStream(SampleStream&&) noexcept = default;
SampleStream::~SampleStream() = default;

int64_t SampleStream::samples_per_epoch() const {
  int64_t samples = 0;
  for (const State::Part& part : state_->parts) samples += part.order.samples_per_epoch();
  return samples;
}

int64_t SampleStream::samples_per_epoch_of(int32_t part) const {
  return state_->parts.at(static_cast<size_t>(part)).order.samples_per_epoch();
}

const Mixture& SampleStream::mixture() const { return state_->mixture; }

core::Bytes SampleStream::window_bytes() const {
  constexpr auto kMost = core::Bytes(static_cast<int64_t>(WindowStore::kKept) * kWindowBytes);
  core::Bytes bytes;
  for (const State::Part& part : state_->parts) bytes += std::min(part.stored, kMost);
  return bytes;
}

Batch SampleStream::Read(const std::vector<uint64_t>& sample_numbers) const {
  std::vector<State::Place> places;
  for (const uint64_t number : sample_numbers) {
    const MixedNumber own = state_->mixture.Of(number);
    const State::Part& part = state_->parts[static_cast<size_t>(own.part)];
    places.push_back({&part, part.order.Shuffled(own.number)});
  }
  return state_->Fill(sample_numbers, places);
}

Batch SampleStream::ReadInOrder(const std::vector<uint64_t>& places) const {
  MOAT_CHECK(state_->parts.size() == 1, "one data set is read in order");
  const State::Part& part = state_->parts.front();
  std::vector<State::Place> found;
  for (const uint64_t place : places) {
    found.push_back({&part, part.order.Natural(static_cast<int64_t>(place))});
  }
  return state_->Fill(places, found);
}

}  // namespace moat::data
