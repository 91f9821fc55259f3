// Agreement on the algorithms of products.
#include "model/product_agreement.h"

#include <numeric>
#include <vector>

#include "core/error.h"

namespace moat::model {
namespace {

using tensor::ProductChoices;

void ExpectOneLibrary(const std::string& mine, comm::Communicator& world) {
  const std::vector<std::string> all = world.AllGatherText(mine);
  for (size_t r = 1; r < all.size(); ++r) {
    if (all[r] == all[0]) continue;
    const auto of = [&](size_t rank) {
      return "rank " + std::to_string(rank) + ": " + (all[rank].empty() ? "none" : all[rank]);
    };
    throw core::ConfigError("ranks compute products with different libraries or devices (" + of(0) +
                            "; " + of(r) + "), so their bits would differ; use nodes of one kind");
  }
}

// What was saved, if this library and device can use it. Else says why not in `note`.
bool Usable(const std::string& saved, const std::string& library, ProductChoices* choices,
            std::string* note) {
  if (saved.empty()) {
    *note = "nothing was saved";
    return false;
  }
  try {
    *choices = tensor::ParseProductChoices(saved, "the run's choices");
  } catch (const core::DataError& error) {
    *note = std::string(error.what()) + "; they are chosen again, and the bit chain ends here";
    return false;
  }
  if (choices->made_for == library) return true;
  *note = "products were chosen for " + choices->made_for + ", and this is " + library +
          ": they are chosen again, and the bit chain ends here";
  return false;
}

}  // namespace

ProductAgreement AgreeOnProducts(tensor::ProductTuner* tuner, comm::Communicator& world,
                                 const std::string& saved, bool tune,
                                 const std::function<void()>& passes) {
  const std::string library = tuner == nullptr ? "" : tuner->library();
  ExpectOneLibrary(library, world);
  ProductAgreement agreement;
  if (tuner == nullptr) return agreement;
  agreement.applies = true;
  const bool first = world.rank() == 0;
  ProductChoices choices;
  const bool usable = first && Usable(saved, library, &choices, &agreement.note);
  const bool measure = world.AnyOf(first && !usable && tune);
  if (measure) {
    tuner->Use({library, {}});  // what was computed before is chosen again
    tuner->Measure(first);
    passes();
    tuner->Measure(false);
  }
  if (first && !usable) choices = measure ? tuner->choices() : ProductChoices{library, {}};
  agreement.text = world.BroadcastText(first ? Format(choices) : "", 0);
  agreement.note = world.BroadcastText(agreement.note, 0);
  agreement.changed = world.AnyOf(first && agreement.text != saved);
  choices = tensor::ParseProductChoices(agreement.text, "rank 0's choices");
  agreement.digest = tensor::DigestOf(choices);
  tuner->Use(choices);
  return agreement;
}

namespace {

// Both passes, replacing gradients and adding to them, over made-up samples. The last sixteenth of
// each is a span of its own: attention that does not keep to spans gives itself away.
void RunEveryProduct(Transformer& model, int64_t rows) {
  const int64_t slots = rows * model.config().seq_len;
  std::vector<int32_t> tokens(static_cast<size_t>(slots));
  for (int64_t t = 0; t < slots; ++t) {
    tokens[static_cast<size_t>(t)] = static_cast<int32_t>(t * 7919 % model.config().vocab_size);
  }
  const std::vector<float> weights(tokens.size(), 1.0f);
  const auto seq_len = static_cast<int32_t>(model.config().seq_len);
  const int32_t last = seq_len - seq_len / 16;
  std::vector<int32_t> span_start;
  for (int64_t t = 0; t < slots; ++t) span_start.push_back(t % seq_len >= last ? last : 0);
  std::vector<uint64_t> samples(static_cast<size_t>(rows));
  std::iota(samples.begin(), samples.end(), uint64_t{0});
  const MicroBatch batch{rows,           tokens.data(),     tokens.data(),
                         weights.data(), span_start.data(), samples.data()};
  for (const bool accumulate : {false, true}) model.ForwardBackward(batch, 0, 0, accumulate);
}

}  // namespace

ProductAgreement AgreeOnProducts(Transformer& model, tensor::Stream& stream,
                                 comm::Communicator& world, const std::string& saved, bool tune) {
  return AgreeOnProducts(tensor::TunerOf(stream), world, saved, tune,
                         [&] { RunEveryProduct(model, model.max_rows()); });
}

}  // namespace moat::model
