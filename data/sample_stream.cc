// Rows of packed blocks, written out as a micro-batch.
#include "data/sample_stream.h"

#include <algorithm>

#include "core/crc32c.h"
#include "core/error.h"
#include "core/rng.h"
#include "data/block_store.h"
#include "data/chat_template.h"
#include "data/sample_order.h"

namespace moat::data {
namespace {

bool CarriesLoss(const LossRoles& roles, Role role) {
  switch (role) {
    case Role::kSystem:
      return roles.system;
    case Role::kUser:
      return roles.user;
    case Role::kAssistant:
      return roles.assistant;
    case Role::kTool:
      return roles.tool;
    case Role::kText:
      return roles.text;
  }
  return false;
}

std::vector<int64_t> SamplesOf(const BlockStore& blocks) {
  std::vector<int64_t> samples;
  for (int64_t i = 0; i < blocks.blocks(); ++i) samples.push_back(blocks.samples(i));
  return samples;
}

uint64_t RowHash(const Batch& batch, int64_t row) {
  const auto begin = static_cast<size_t>(row * batch.seq_len);
  const auto size = static_cast<size_t>(batch.seq_len) * 4;
  uint32_t crc = core::Crc32c(batch.tokens.data() + begin, size);
  crc = core::Crc32c(batch.targets.data() + begin, size, crc);
  crc = core::Crc32c(batch.weights.data() + begin, size, crc);
  crc = core::Crc32c(batch.span_start.data() + begin, size, crc);
  return core::Mix64(core::Mix64(batch.samples[static_cast<size_t>(row)]) + crc);
}

// Weights of the targets of `piece`, whose first slot goes to `out`.
void FillWeights(const StoredInteractions& data, const Piece& piece, const LossRoles& roles,
                 float* out) {
  const auto interaction = static_cast<size_t>(piece.interaction);
  const int64_t origin = data.TokenStart(piece.interaction);
  const int64_t first_target = origin + piece.first_slot + 1;
  const int64_t end_target = first_target + piece.slots;
  for (int64_t s = data.first_segment[interaction]; s < data.first_segment[interaction + 1]; ++s) {
    const auto segment = static_cast<size_t>(s);
    if (!CarriesLoss(roles, data.role[segment])) continue;
    const bool first = s == data.first_segment[interaction];
    const int64_t begin = std::max(first_target, data.segment_start[segment] + HeaderTokens(first));
    const int64_t end = std::min(end_target, data.segment_start[segment + 1]);
    for (int64_t t = begin; t < end; ++t) out[t - first_target] = data.weight[segment];
  }
}

}  // namespace

struct SampleStream::State {
  State(const Dataset& dataset, const std::string& split, const StreamOptions& stream_options)
      : options(stream_options),
        blocks(dataset, split, options.seq_len),
        order(SamplesOf(blocks), options.seed) {}

  void FillRow(const SamplePlace& place, int64_t row, Batch* batch) const;
  Batch Fill(const std::vector<uint64_t>& numbers, const std::vector<SamplePlace>& places) const;

  StreamOptions options;
  BlockStore blocks;
  SampleOrder order;
};

void SampleStream::State::FillRow(const SamplePlace& place, int64_t row, Batch* batch) const {
  const std::shared_ptr<const PackedBlock> block = blocks.Get(place.block);
  const StoredInteractions& data = block->interactions;
  const auto base = static_cast<size_t>(row * batch->seq_len);
  int64_t at = 0;
  for (const Piece& piece : block->rows[static_cast<size_t>(place.row)]) {
    const int32_t* source =
        data.tokens.data() + data.TokenStart(piece.interaction) + piece.first_slot;
    const size_t begin = base + static_cast<size_t>(at);
    std::copy(source, source + piece.slots, batch->tokens.begin() + static_cast<int64_t>(begin));
    std::copy(source + 1, source + 1 + piece.slots,
              batch->targets.begin() + static_cast<int64_t>(begin));
    std::fill_n(batch->span_start.begin() + static_cast<int64_t>(begin), piece.slots,
                static_cast<int32_t>(at));
    FillWeights(data, piece, options.roles, batch->weights.data() + begin);
    at += piece.slots;
  }
  for (; at < batch->seq_len; ++at) {  // padding: each slot is alone
    batch->span_start[base + static_cast<size_t>(at)] = static_cast<int32_t>(at);
  }
}

Batch SampleStream::State::Fill(const std::vector<uint64_t>& numbers,
                                const std::vector<SamplePlace>& places) const {
  Batch batch;
  batch.rows = static_cast<int64_t>(numbers.size());
  batch.seq_len = options.seq_len;
  batch.samples = numbers;
  const auto size = static_cast<size_t>(batch.rows * batch.seq_len);
  batch.tokens.assign(size, 0);
  batch.targets.assign(size, 0);
  batch.weights.assign(size, 0.0f);
  batch.span_start.assign(size, 0);
  for (int64_t row = 0; row < batch.rows; ++row) {
    FillRow(places[static_cast<size_t>(row)], row, &batch);
    batch.content_hash += RowHash(batch, row);
  }
  return batch;
}

SampleStream::SampleStream(const Dataset& dataset, const std::string& split,
                           const StreamOptions& options)
    : state_(std::make_unique<State>(dataset, split, options)) {}
SampleStream::~SampleStream() = default;

int64_t SampleStream::samples_per_epoch() const { return state_->order.samples_per_epoch(); }

Batch SampleStream::Read(const std::vector<uint64_t>& sample_numbers) const {
  std::vector<SamplePlace> places;
  for (const uint64_t number : sample_numbers) places.push_back(state_->order.Shuffled(number));
  return state_->Fill(sample_numbers, places);
}

Batch SampleStream::ReadInOrder(const std::vector<uint64_t>& places) const {
  std::vector<SamplePlace> found;
  for (const uint64_t place : places) {
    found.push_back(state_->order.Natural(static_cast<int64_t>(place)));
  }
  return state_->Fill(places, found);
}

}  // namespace moat::data
