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
#include "trainer/device_choice.h"
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
  throw core::DataError(
      dataset.directory().string() +
      " was made with another tokenizer than the run was trained with; import it "
      "with --tokenizer=" +
      (std::filesystem::path(run.train.data.front()) / "tokenizer.model").string());
}

nlohmann::ordered_json ToJson(const trainer::Evaluation& evaluation) {
  return {{"loss", evaluation.loss},
          {"bits_per_byte", evaluation.bits_per_byte},
          {"tokens", evaluation.tokens},
          {"bytes", evaluation.bytes}};
}

std::string ToText(const trainer::Evaluation& evaluation) {
  char numbers[160];
  std::snprintf(numbers, sizeof numbers, "loss %.4f, %.4f bits per byte over %lld tokens, %s",
                evaluation.loss, evaluation.bits_per_byte,
                static_cast<long long>(evaluation.tokens),
                core::Format(core::Bytes(evaluation.bytes)).c_str());
  return numbers;
}

// One data set: its numbers. Several: those of all together, and each one's own.
void Print(const configs::EvalConfig& config, const TrainedRun& run, int64_t step,
           const std::vector<std::string>& data, const std::vector<trainer::Evaluation>& parts) {
  const trainer::Evaluation all = trainer::Together(parts);
  if (config.json) {
    nlohmann::ordered_json json = {
        {"run", config.run}, {"checkpoint", run.checkpoint.string()}, {"step", step}};
    if (data.size() == 1) json["data"] = data.front();
    json.update(ToJson(all));
    for (size_t i = 0; i < data.size() && data.size() > 1; ++i) {
      nlohmann::ordered_json own = {{"data", data[i]}};
      own.update(ToJson(parts[i]));
      json["by_data"].push_back(own);
    }
    std::cout << json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << "\n";
  } else {
    const std::string head =
        "step " + std::to_string(step) + " of " + config.run + " on the validation split of ";
    for (size_t i = 0; i < data.size(); ++i) {
      std::cout << head << data[i] << ": " << ToText(parts[i]) << "\n";
    }
    if (data.size() > 1) std::cout << "all together: " << ToText(all) << "\n";
  }
  std::cout.flush();
  if (!std::cout) throw core::StorageError("cannot write to standard output");
}

}  // namespace

int Evaluate(const configs::EvalConfig& config) {
  TrainedRun run = OpenRun(config.run_root, config.run, config.checkpoint);
  const std::vector<std::string>& data = config.data.empty() ? run.train.data : config.data;
  const checkpoint::Manifest manifest = checkpoint::ReadManifest(run.checkpoint);
  std::vector<data::SampleStream> validation;
  std::vector<data::Tokenizer> tokenizers;
  configs::ModelConfig model_config = run.train.model;
  for (const std::string& directory : data) {
    const auto dataset = data::Dataset::Open(directory);
    tokenizers.push_back(trainer::CheckedTokenizer(dataset));
    CheckSameTokens(manifest, dataset, run);
    validation.emplace_back(dataset, "validation", trainer::StreamOptionsOf(run.train));
    model_config.vocab_size = dataset.vocab_size();
  }
  const auto self = comm::MakeSelf();
  const trainer::DeviceChoice device =
      trainer::ChooseDevice(config.device, trainer::DevicesHere(core::DeviceKind::kCuda), 0, *self);
  tensor::Stream stream = trainer::MakeStream(device, core::ThreadsOf(config.threads));
  FitToDevice(stream, run.train);
  model::Transformer model(model_config,
                           {.max_rows = run.train.micro_batch,
                            .with_gradients = false,
                            .dtype = run.train.dtype,
                            .matmul_dtype = run.train.matmul_dtype},
                           stream);
  trainer::LoadWeights(run.checkpoint, model, stream);
  std::vector<trainer::Evaluation> parts;
  for (size_t i = 0; i < data.size(); ++i) {
    const trainer::Evaluator evaluator(validation[i], tokenizers[i], run.train.micro_batch, 0);
    parts.push_back(evaluator.Run(model, *self));
    if (parts.back().tokens > 0) continue;
    throw core::DataError("the validation split of " + data[i] +
                          " has no token that carries loss (--loss_roles of the run)");
  }
  Print(config, run, manifest.position.step, data, parts);
  return 0;
}

}  // namespace moat::programs
