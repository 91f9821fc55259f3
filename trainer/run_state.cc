// A run's state in checkpoints.
#include "trainer/run_state.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "parallel/optimizer_range.h"

namespace moat::trainer {
namespace {

using nlohmann::json;

parallel::Slice LocalSliceOf(const model::Parameter& parameter, const model::Transformer& model) {
  return parallel::LocalSlice(parameter.split, model.axis().rank(), model.axis().size());
}

std::vector<parallel::Slice> LocalSlices(const model::Transformer& model) {
  std::vector<parallel::Slice> slices;
  for (const model::Parameter& p : model.parameters()) slices.push_back(LocalSliceOf(p, model));
  return slices;
}

struct Kind {
  const char* prefix;
  tensor::View flat;
};

std::vector<Kind> Kinds(model::Transformer& model, Optimizer& optimizer) {
  return {{"model.", model.weights()},
          {"adam_m.", optimizer.moment1()},
          {"adam_v.", optimizer.moment2()}};
}

void AddLocalParameters(const Kind& kind, const model::Transformer& model,
                        std::vector<checkpoint::SliceToLoad>& slices) {
  for (size_t p = 0; p < model.parameters().size(); ++p) {
    const model::Parameter& parameter = model.parameters()[p];
    const model::FlatRange& range = model.layout()[p];
    slices.push_back({kind.prefix + parameter.name, parameter.split.global,
                      LocalSliceOf(parameter, model), kind.flat.Range(range.begin, range.count)});
  }
}

void CheckIdentity(const std::filesystem::path& directory, const json& saved, const Identity& now) {
  std::string differences;
  for (const auto& [name, value] : now) {
    const std::string before = saved.value(name, std::string("absent"));
    if (before != value)
      differences += (differences.empty() ? "" : "; ") + name + " was " + before + ", now " + value;
  }
  if (!differences.empty()) {
    throw core::ConfigError(directory.string() + " is of another run: " + differences +
                            "; resume with what it was trained with, or start another --run");
  }
}

const std::string& ValueOf(const checkpoint::Manifest& manifest, const std::string& name) {
  const auto found = manifest.position.values.find(name);
  if (found == manifest.position.values.end()) {
    throw core::DataError("the checkpoint of step " + std::to_string(manifest.position.step) +
                          " has no '" + name + "': it is not of a training run");
  }
  return found->second;
}

}  // namespace

std::filesystem::path SaveState(const checkpoint::SaveOptions& options, const RunProgress& progress,
                                const Identity& identity, model::Transformer& model,
                                Optimizer& optimizer, const RankGroups& groups) {
  std::vector<checkpoint::SliceToSave> slices;
  for (const Kind& kind : Kinds(model, optimizer)) {
    for (const parallel::OptimizerPart& part :
         parallel::OptimizerRange(LocalSlices(model), groups.data.rank(), groups.data.size())) {
      const model::Parameter& parameter = model.parameters()[static_cast<size_t>(part.parameter)];
      if (parameter.split.replicated() && model.axis().rank() != 0) continue;  // written once
      int64_t at = model.layout()[static_cast<size_t>(part.parameter)].begin + part.begin;
      for (const parallel::Slice& slice : part.slices) {
        slices.push_back({kind.prefix + parameter.name, parameter.split.global, slice,
                          kind.flat.Range(at, slice.elements())});
        at += slice.elements();
      }
    }
  }
  checkpoint::RunPosition position;
  position.run_id = progress.run_id;
  position.step = progress.step;
  position.lineage = progress.lineage;
  position.values["identity"] = json(identity).dump();
  position.values["progress"] = json{
      {"updates", optimizer.updates()},
      {"sample_hash", progress.sample_hash},
      {"best_step", progress.best.step},
      {"best_loss",
       progress.best.loss}}.dump();
  return checkpoint::Save(options, position, slices, groups.world);
}

RunProgress ReadProgress(const checkpoint::Manifest& manifest) {
  RunProgress progress;
  const json values = json::parse(ValueOf(manifest, "progress"));
  progress.step = manifest.position.step;
  progress.run_id = manifest.position.run_id;
  progress.lineage = manifest.position.lineage;
  progress.sample_hash = values.at("sample_hash").get<uint64_t>();
  progress.best = {values.at("best_step").get<int64_t>(), values.at("best_loss").get<double>()};
  return progress;
}

Identity ReadIdentity(const checkpoint::Manifest& manifest) {
  return json::parse(ValueOf(manifest, "identity")).get<Identity>();
}

RunProgress LoadState(const std::filesystem::path& directory, const Identity& identity,
                      model::Transformer& model, Optimizer& optimizer) {
  const checkpoint::Manifest manifest = checkpoint::ReadManifest(directory);
  CheckIdentity(directory, json::parse(ValueOf(manifest, "identity")), identity);
  std::vector<checkpoint::SliceToLoad> slices;
  for (const Kind& kind : Kinds(model, optimizer)) AddLocalParameters(kind, model, slices);
  checkpoint::Load(directory, manifest, slices);
  model.RoundWeights();
  optimizer.set_updates(json::parse(ValueOf(manifest, "progress")).at("updates").get<int64_t>());
  RunProgress progress = ReadProgress(manifest);
  progress.lineage.push_back(directory.filename().string());
  return progress;
}

void LoadWeights(const std::filesystem::path& directory, model::Transformer& model) {
  std::vector<checkpoint::SliceToLoad> slices;
  AddLocalParameters({"model.", model.weights()}, model, slices);
  checkpoint::Load(directory, checkpoint::ReadManifest(directory), slices);
  model.RoundWeights();
}

}  // namespace moat::trainer
