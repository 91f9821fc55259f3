// Evaluation on the validation split.
#include "trainer/evaluation.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "trainer/micro_batch.h"

namespace moat::trainer {
namespace {

struct Sums {
  double weighted_loss = 0, weight = 0, nats = 0, tokens = 0, bytes = 0;
};

}  // namespace

Evaluation Together(const std::vector<Evaluation>& parts) {
  if (parts.size() == 1) return parts.front();  // to the bit
  Evaluation all;
  double weighted_loss = 0, bits = 0;
  for (const Evaluation& part : parts) {
    weighted_loss += part.loss * part.weight;
    bits += part.bits_per_byte * static_cast<double>(part.bytes);
    all.weight += part.weight;
    all.tokens += part.tokens;
    all.bytes += part.bytes;
  }
  if (all.weight > 0) all.loss = weighted_loss / all.weight;
  if (all.bytes > 0) all.bits_per_byte = bits / static_cast<double>(all.bytes);
  return all;
}

Evaluator::Evaluator(const data::SampleStream& validation, const data::Tokenizer& tokenizer,
                     int64_t micro_batch, int64_t micro_batches)
    : validation_(validation), micro_batch_(micro_batch) {
  for (int32_t token = 0; token < tokenizer.vocab_size(); ++token)
    byte_length_.push_back(tokenizer.ByteLength(token));
  const int64_t all = (validation.samples_per_epoch() + micro_batch - 1) / micro_batch;
  micro_batches_ = micro_batches == 0 ? all : std::min(all, micro_batches);
}

Evaluation Evaluator::Run(model::Transformer& model, comm::Communicator& data,
                          const std::function<bool()>& interrupted) const {
  const int64_t per_rank = (micro_batches_ + data.size() - 1) / data.size();
  std::vector<Sums> mine(static_cast<size_t>(per_rank));
  std::vector<float> losses;
  for (int64_t i = 0; i < per_rank; ++i) {
    if (interrupted && interrupted()) {
      Evaluation left;
      left.complete = false;
      return left;
    }
    const int64_t index = i * data.size() + data.rank();
    if (index >= micro_batches_) continue;
    std::vector<uint64_t> places(static_cast<size_t>(
        std::min(micro_batch_, validation_.samples_per_epoch() - index * micro_batch_)));
    std::iota(places.begin(), places.end(), static_cast<uint64_t>(index * micro_batch_));
    const data::Batch batch = validation_.ReadInOrder(places);
    losses.resize(batch.targets.size());
    const model::LossSums sums = model.Evaluate(ViewOf(batch), losses.data());
    Sums& to = mine[static_cast<size_t>(i)];
    to.weighted_loss = sums.weighted_loss;
    to.weight = sums.weight;
    for (size_t t = 0; t < losses.size(); ++t) {
      if (batch.weights[t] == 0) continue;
      to.nats += static_cast<double>(losses[t]) / static_cast<double>(batch.weights[t]);
      ++to.tokens;
      to.bytes += static_cast<double>(byte_length_[static_cast<size_t>(batch.targets[t])]);
    }
  }
  std::vector<Sums> all(mine.size() * static_cast<size_t>(data.size()));
  const auto doubles = [](std::vector<Sums>& sums) {
    return tensor::HostView(reinterpret_cast<double*>(sums.data()),
                            static_cast<int64_t>(sums.size() * sizeof(Sums) / sizeof(double)));
  };
  tensor::Stream host;
  data.AllGather(doubles(mine), doubles(all), host);
  Sums total;
  for (int64_t index = 0; index < micro_batches_; ++index) {
    const Sums& from =
        all[static_cast<size_t>(index % data.size() * per_rank + index / data.size())];
    total.weighted_loss += from.weighted_loss;
    total.weight += from.weight;
    total.nats += from.nats;
    total.tokens += from.tokens;
    total.bytes += from.bytes;
  }
  Evaluation result;
  result.weight = total.weight;
  result.tokens = static_cast<int64_t>(total.tokens);
  result.bytes = static_cast<int64_t>(total.bytes);
  if (total.weight > 0) result.loss = total.weighted_loss / total.weight;
  if (total.bytes > 0) result.bits_per_byte = total.nats / std::log(2.0) / total.bytes;
  return result;
}

}  // namespace moat::trainer
