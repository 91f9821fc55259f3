// A run's state in checkpoints.
#include "trainer/run_state.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "parallel/optimizer_range.h"

namespace moat::trainer {
namespace {

using nlohmann::json;

// Slices of one part, named and typed for saving or loading.
template <typename Slices>
void AddPart(const std::string& prefix, const model::Transformer& model,
             const parallel::OptimizerPart& range, tensor::View data, tensor::Stream& stream,
             Slices* slices) {
  const model::Parameter& parameter = model.parameters()[static_cast<size_t>(range.parameter)];
  int64_t at = 0;
  for (const parallel::Slice& slice : range.slices) {
    slices->push_back({prefix + parameter.name, parameter.split.global, slice,
                       data.Range(at, slice.elements()), &stream});
    at += slice.elements();
  }
}

template <typename Slices>
void AddState(const model::Transformer& model, const OptimizedPart& part, tensor::Stream& stream,
              Slices* slices) {
  AddPart("model.", model, part.range, part.weight, stream, slices);
  AddPart("adam_m.", model, part.range, part.moment1, stream, slices);
  AddPart("adam_v.", model, part.range, part.moment2, stream, slices);
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

std::vector<checkpoint::SliceToSave> SlicesToSave(const model::Transformer& model,
                                                  const Optimizer& optimizer) {
  std::vector<checkpoint::SliceToSave> slices;
  for (const OptimizedPart& part : optimizer.Owned()) {
    if (!model.FirstOfCopies(part.range.parameter)) continue;  // written once
    AddState(model, part, optimizer.stream(), &slices);
  }
  return slices;
}

checkpoint::RunPosition PositionOf(const RunProgress& progress, const Identity& identity,
                                   const std::string& grid, const Optimizer& optimizer) {
  checkpoint::RunPosition position;
  position.run_id = progress.run_id;
  position.step = progress.step;
  position.lineage = progress.lineage;
  position.values["grid"] = grid;
  position.values["device"] = json(core::Name(optimizer.stream().device())).dump();
  position.values["identity"] = json(identity).dump();
  position.values["progress"] = json{
      {"updates", optimizer.updates()},
      {"sample_hash", progress.sample_hash},
      {"best_step", progress.best.step},
      {"best_loss",
       progress.best.loss}}.dump();
  return position;
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

std::string DeviceOf(const checkpoint::Manifest& manifest) {
  const auto found = manifest.position.values.find("device");
  if (found == manifest.position.values.end()) return "cpu";  // older ones know no other
  return json::parse(found->second).get<std::string>();
}

RunProgress LoadState(const checkpoint::Candidate& from, const Identity& identity,
                      const model::Transformer& model, Optimizer& optimizer,
                      comm::Communicator& world) {
  CheckIdentity(from.directory, json::parse(ValueOf(from.manifest, "identity")), identity);
  RunProgress progress = ReadProgress(from.manifest);
  if (!from.local) progress.lineage.push_back(from.directory.filename().string());
  std::vector<checkpoint::SliceToLoad> slices;
  for (const OptimizedPart& part : optimizer.held())
    AddState(model, part, optimizer.stream(), &slices);
  checkpoint::Deliver(from.manifest, from.places, slices, world);
  optimizer.PublishWeights();
  optimizer.set_updates(
      json::parse(ValueOf(from.manifest, "progress")).at("updates").get<int64_t>());
  return progress;
}

void LoadWeights(const checkpoint::Candidate& from, const model::Transformer& model,
                 Optimizer& optimizer, comm::Communicator& world) {
  std::vector<checkpoint::SliceToLoad> slices;
  for (const OptimizedPart& part : optimizer.held()) {
    AddPart("model.", model, part.range, part.weight, optimizer.stream(), &slices);
  }
  checkpoint::Deliver(from.manifest, from.places, slices, world);
  optimizer.PublishWeights();
}

void LoadWeights(const std::filesystem::path& directory, model::Transformer& model,
                 tensor::Stream& stream) {
  std::vector<checkpoint::SliceToLoad> slices;
  for (int p = 0; p < static_cast<int>(model.parameters().size()); ++p) {
    const model::Parameter& parameter = model.parameters()[static_cast<size_t>(p)];
    slices.push_back({"model." + parameter.name, parameter.split.global, model.slice(p),
                      model.weight(p), &stream});
  }
  checkpoint::Load(directory, checkpoint::ReadManifest(directory), slices);
  model.RoundWeights();
}

}  // namespace moat::trainer
