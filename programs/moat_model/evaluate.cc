// Evaluation of a run's checkpoint, with the trainer's own evaluator.
#include "programs/moat_model/evaluate.h"

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "comm/self.h"
#include "core/error.h"
#include "core/host.h"
#include "core/units.h"
#include "data/dataset.h"
#include "model/transformer.h"
#include "programs/moat_model/trained_run.h"
#include "trainer/evaluation.h"
#include "trainer/run_data.h"
#include "trainer/run_state.h"

namespace moat::programs {
namespace {

// Tokens mean what they meant in training only with the same tokenizer.
void CheckSameTokens(const checkpoint::Manifest& manifest, const data::Dataset& dataset,
                     const TrainedRun& run) {
  const trainer::Identity identity = trainer::ReadIdentity(manifest);
  const auto trained_with = identity.find("tokenizer");
  if (trained_with != identity.end() && trained_with->second == dataset.tokenizer_digest()) return;
  throw core::DataError(dataset.directory().string() +
                        " was made with another tokenizer than the run was trained with; import it "
                        "with --tokenizer=" +
                        (std::filesystem::path(run.train.data) / "tokenizer.model").string());
}

void Print(const configs::EvalConfig& config, const TrainedRun& run, int64_t step,
           const std::string& data, const trainer::Evaluation& evaluation) {
  if (config.json) {
    std::cout << nlohmann::ordered_json{{"run", config.run},
                                        {"checkpoint", run.checkpoint.string()},
                                        {"step", step},
                                        {"data", data},
                                        {"loss", evaluation.loss},
                                        {"bits_per_byte", evaluation.bits_per_byte},
                                        {"tokens", evaluation.tokens},
                                        {"bytes", evaluation.bytes}}
                     .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)
              << "\n";
  } else {
    char numbers[160];
    std::snprintf(numbers, sizeof numbers, "loss %.4f, %.4f bits per byte over %lld tokens, %s",
                  evaluation.loss, evaluation.bits_per_byte,
                  static_cast<long long>(evaluation.tokens),
                  core::Format(core::Bytes(evaluation.bytes)).c_str());
    std::cout << "step " << step << " of " << config.run << " on the validation split of " << data
              << ": " << numbers << "\n";
  }
  std::cout.flush();
  if (!std::cout) throw core::StorageError("cannot write to standard output");
}

}  // namespace

int Evaluate(const configs::EvalConfig& config) {
  const TrainedRun run = OpenRun(config.run_root, config.run, config.checkpoint);
  const auto dataset = data::Dataset::Open(config.data.empty() ? run.train.data : config.data);
  const data::Tokenizer tokenizer = trainer::CheckedTokenizer(dataset);
  const checkpoint::Manifest manifest = checkpoint::ReadManifest(run.checkpoint);
  CheckSameTokens(manifest, dataset, run);
  const data::SampleStream validation(dataset, "validation", trainer::StreamOptionsOf(run.train));

  configs::ModelConfig model_config = run.train.model;
  model_config.vocab_size = dataset.vocab_size();
  tensor::Stream stream(core::ThreadsOf(config.threads));
  model::Transformer model(
      model_config,
      {.max_rows = run.train.micro_batch, .with_gradients = false, .dtype = run.train.dtype},
      stream);
  trainer::LoadWeights(run.checkpoint, model);
  const auto self = comm::MakeSelf();
  const trainer::Evaluator evaluator(validation, tokenizer, run.train.micro_batch, 0);
  const trainer::Evaluation evaluation = evaluator.Run(model, *self, stream);
  if (evaluation.tokens == 0) {
    throw core::DataError("the validation split of " + dataset.directory().string() +
                          " has no token that carries loss (--loss_roles of the run)");
  }
  Print(config, run, manifest.position.step, dataset.directory().string(), evaluation);
  return 0;
}

}  // namespace moat::programs
