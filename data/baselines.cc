// The baselines.
#include "data/baselines.h"

#include <lzma.h>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "data/bigram.h"
#include "data/dataset_walk.h"
#include "data/tokenizer.h"

namespace moat::data {
namespace {

constexpr size_t kWindowBytes = 64 << 20;  // xz -9e looks back no further

struct Scored {
  std::string text;
  std::vector<ScoredToken> tokens;
  std::vector<size_t> starts;  // of interactions in `tokens`
};

Scored ScoredOf(const Dataset& dataset, const Tokenizer& tokenizer, const std::string& split) {
  Scored scored;
  WalkSplit(dataset, split, [&](const StoredInteractions& run, const StoredKeys&) {
    scored.starts.push_back(scored.tokens.size());
    ForEachScoredSlot(run, [&](int32_t previous, int32_t target, float) {
      scored.tokens.push_back({previous, target});
      scored.text += tokenizer.Decode({target});
      if (target == tokenizer.end_token()) scored.starts.push_back(scored.tokens.size());
    });
  });
  scored.starts.push_back(scored.tokens.size());
  return scored;
}

// Every tenth scored segment is held out, the weights are tuned on it, then it is counted too.
BigramModel TrainBigram(const Scored& train, int64_t vocab_size) {
  BigramModel model(vocab_size);
  std::vector<ScoredToken> held_out;
  for (size_t i = 0; i + 1 < train.starts.size(); ++i) {
    for (size_t t = train.starts[i]; t < train.starts[i + 1]; ++t) {
      if (i % 10 == 9) {
        held_out.push_back(train.tokens[t]);
      } else {
        model.Add(train.tokens[t]);
      }
    }
  }
  model.Tune(held_out);
  for (const ScoredToken& token : held_out) model.Add(token);
  return model;
}

size_t XzSize(const std::string& text) {
  std::vector<uint8_t> out(lzma_stream_buffer_bound(text.size()));
  size_t size = 0;
  const lzma_ret result = lzma_easy_buffer_encode(
      9 | LZMA_PRESET_EXTREME, LZMA_CHECK_CRC64, nullptr,
      reinterpret_cast<const uint8_t*>(text.data()), text.size(), out.data(), &size, out.size());
  if (result == LZMA_MEM_ERROR) throw core::OutOfMemoryError("xz needs about 700 MB of memory");
  MOAT_CHECK(result == LZMA_OK, "xz compresses");
  return size;
}

}  // namespace

Baselines MeasureBaselines(const Dataset& dataset) {
  const Tokenizer tokenizer = Tokenizer::Load(dataset.tokenizer_path());
  Scored train = ScoredOf(dataset, tokenizer, "train");
  const Scored validation = ScoredOf(dataset, tokenizer, "validation");
  if (validation.text.empty()) {
    throw core::DataError(dataset.directory().string() +
                          ": the validation split has no text that is scored (assistant or text "
                          "segments of positive weight)");
  }
  if (train.text.size() > kWindowBytes) train.text.erase(0, train.text.size() - kWindowBytes);
  Baselines result;
  result.scored_tokens = static_cast<int64_t>(validation.tokens.size());
  result.scored_bytes = static_cast<int64_t>(validation.text.size());
  result.train_bytes = static_cast<int64_t>(train.text.size());

  size_t train_size = 0;
  std::jthread alone([&] { train_size = XzSize(train.text); });
  const size_t both_size = XzSize(train.text + validation.text);
  const BigramModel model = TrainBigram(train, dataset.vocab_size());
  double bits = 0;
  for (const ScoredToken& token : validation.tokens) {
    bits -= std::log2(model.Probability(token.previous, token.target));
  }
  result.bigram_bits_per_byte = bits / static_cast<double>(result.scored_bytes);
  alone.join();
  result.xz_bits_per_byte = 8.0 *
                            (static_cast<double>(both_size) - static_cast<double>(train_size)) /
                            static_cast<double>(validation.text.size());
  return result;
}

}  // namespace moat::data
