// The training loop.
#include "trainer/trainer.h"

#include <cinttypes>
#include <cmath>

#include "checkpoint/manifest/line.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/durable_file.h"
#include "core/fault.h"
#include "core/host.h"
#include "core/logging.h"
#include "core/rng.h"
#include "core/units.h"
#include "model/architecture/memory_fit.h"
#include "model/architecture/memory_plan.h"
#include "model/product_agreement.h"
#include "tensor/profiler.h"
#include "trainer/device_memory.h"
#include "trainer/gemm_rate.h"
#include "trainer/replica_check.h"
#include "trainer/run_data.h"
#include "trainer/run_start.h"
#include "trainer/state_hash.h"

namespace moat::trainer {
namespace {

// Of a run that began with another's: kept in its checkpoints' identity.
constexpr const char* kInitialWeights = "initial weights";

// The data's vocabulary is the model's.
configs::ModelConfig ModelFor(const configs::TrainConfig& config, const data::Dataset& dataset) {
  configs::ModelConfig model = config.model;
  if (model.vocab_size != 0 && model.vocab_size != dataset.vocab_size()) {
    throw core::ConfigError("--vocab_size=" + std::to_string(model.vocab_size) + " but " +
                            dataset.directory().string() + " has a vocabulary of " +
                            std::to_string(dataset.vocab_size()) +
                            "; use --vocab_size=0, which takes the data's, or import the data with "
                            "that vocabulary");
  }
  model.vocab_size = dataset.vocab_size();
  configs::Validate(model);
  return model;
}

std::vector<data::SampleStream> ValidationOf(const std::vector<data::Dataset>& datasets,
                                             const data::StreamOptions& options) {
  std::vector<data::SampleStream> splits;
  for (const data::Dataset& dataset : datasets) splits.emplace_back(dataset, "validation", options);
  return splits;
}

std::optional<double> SecondsLeft(const std::optional<int64_t>& end_time) {
  if (!end_time) return std::nullopt;
  return static_cast<double>(*end_time) - static_cast<double>(core::WallMicroseconds()) / 1e6;
}

}  // namespace

Trainer::Trainer(TrainerOptions options, const RankGroups& groups, tensor::Stream& stream)
    : options_(std::move(options)),
      device_memory_(stream.device()),
      groups_(groups),
      stream_(stream),
      start_(options_.layout.checkpoints(), options_.config.resume, groups.world,
             CopiesToGoOnFrom(options_.config, options_.layout.checkpoints(), groups.world)),
      datasets_(OpenData(options_.config, start_.checkpoint(), groups.world)),
      train_(datasets_, options_.config.data_weights, "train", StreamOptionsOf(options_.config)),
      validation_(ValidationOf(datasets_, StreamOptionsOf(options_.config))),
      ways_(parallel::MakeWays(options_.config.reduction == configs::Reduction::kCanonical,
                               options_.config.global_batch, options_.config.micro_batch,
                               groups.data.size(), options_.config.canonical_ways)),
      model_(Fitting(ModelFor(options_.config, datasets_.front())),
             ModelOptions(options_.config, groups.data.size(), &groups.tensor), stream),
      optimizer_(options_.config, model_, groups.data, stream),
      time_left_(SecondsLeft(options_.config.end_time), core::MonotonicSeconds()) {
  for (size_t i = 0; i < datasets_.size(); ++i) {
    evaluators_.emplace_back(validation_[i], CheckedTokenizer(datasets_[i]),
                             options_.config.micro_batch, options_.config.eval_batches);
  }
  for (const auto& [name, value] : DataIdentity(datasets_, options_.config.data_weights)) {
    options_.identity[name] = value;
  }
}

Trainer::~Trainer() = default;

model::MemoryOptions Trainer::PlanOf() const {
  return model::MemoryOptionsOf(options_.config,
                                {groups_.data.size(), groups_.tensor.size(), groups_.tensor.rank(),
                                 stream_.threads(), stream_.device()});
}

// Collective, before anything of the model is there.
const configs::ModelConfig& Trainer::Fitting(const configs::ModelConfig& model) const {
  if (stream_.device() == core::DeviceKind::kCpu) return model;
  CheckFits(model, PlanOf(),
            {options_.device_name, options_.device_ranks,
             tensor::DeviceOf(stream_.device()).free_memory()},
            groups_.world);
  return model;
}

void Trainer::EnterPhase(rundir::Phase phase) {
  if (options_.board) options_.board->EnterPhase(phase, progress_.step);
  core::FaultPoint((std::string("trainer.") + rundir::Name(phase)).c_str(), groups_.world.rank());
}

void Trainer::StartOrResume() {
  EnterPhase(rundir::Phase::kLoading);
  if (start_.checkpoint()) {
    Resume();
  } else {
    Begin();
  }
  first_step_ = progress_.step;
}

// What the checkpoint's identity had to be.
Identity Trainer::LoadNewest() {
  for (;;) {
    const checkpoint::Candidate& start = *start_.checkpoint();
    Identity expected =
        ExpectedIdentity(ReadIdentity(start.manifest), options_.identity, datasets_);
    try {
      progress_ = LoadState(start, expected, model_, optimizer_, groups_.world);
      return expected;
    } catch (const core::DataError& error) {
      start_.PassOver(error);
    } catch (const core::StorageError& error) {
      start_.PassOver(error);
    }
  }
}

void Trainer::Resume() {
  const Identity expected = LoadNewest();
  const checkpoint::Candidate& start = *start_.checkpoint();
  const Identity saved = ReadIdentity(start.manifest);
  if (const auto weights = saved.find(kInitialWeights); weights != saved.end()) {
    options_.identity[kInitialWeights] = weights->second;
  }
  if (!leader()) return;
  const std::filesystem::path root = options_.layout.checkpoints();
  if (start.local) {
    checkpoint::GoOnFromStep(root, progress_.step, progress_.lineage);
  } else {
    checkpoint::GoOnFrom(root, start.directory.filename(), progress_.lineage);
  }
  core::Log() << "resumed from step " << progress_.step << " (" << start.directory.string() << ")";
  const std::string before = DeviceOf(start.manifest), now = core::Name(stream_.device());
  if (before != now) {
    core::Log() << "the chain of equal bits ends here: the run was on " << before << ", it is on "
                << now << " now";
  }
  if (expected.at("data content") != options_.identity.at("data content")) {
    core::Log() << "version " << options_.identity.at("data version")
                << " of the data has forgotten interactions since then: blanks take their places";
  }
}

void Trainer::Begin() {
  if (options_.config.init_from.empty()) {
    optimizer_.InitializeWeights(options_.config.seed);
  } else {
    const std::filesystem::path from =
        ChooseInitialWeights(options_.config, options_.identity, groups_.world);
    LoadWeights(checkpoint::CandidateOf(from), model_, optimizer_, groups_.world);
    options_.identity[kInitialWeights] = from.string();
    if (leader()) core::Log() << "begins with the weights of " << from.string();
  }
  progress_.run_id = groups_.world.BroadcastText(leader() ? core::RandomHex(8) : "", 0);
}

// What the run keeps of its choices is rank 0's to read and to write.
void Trainer::AgreeOnProducts() {
  const std::filesystem::path kept = options_.layout.products();
  const std::string saved =
      leader() && std::filesystem::exists(kept) ? core::ReadWholeFile(kept) : "";
  const model::ProductAgreement products =
      model::AgreeOnProducts(model_, stream_, groups_.world, saved, options_.config.tune_products);
  if (!products.applies || !leader()) return;
  if (products.changed) core::WriteFileAtomically(kept, products.text);
  // Before the first step there is no chain of bits that could end.
  if (!saved.empty() && !products.note.empty() && first_step_ > 0) core::Log() << products.note;
  core::Log() << "algorithms of products: " << products.digest.substr(0, 16) << " ("
              << kept.string() << ")";
}

std::vector<uint64_t> Trainer::SamplesOf(int64_t taken) const {
  const int64_t per_rank = ways_.micro_batches_per_rank();
  const int64_t step = first_step_ + taken / per_rank;
  const int64_t micro_batch = groups_.data.rank() * per_rank + taken % per_rank;
  std::vector<uint64_t> samples;
  for (int64_t row = 0; row < options_.config.micro_batch; ++row) {
    samples.push_back(static_cast<uint64_t>(step * options_.config.global_batch +
                                            micro_batch * options_.config.micro_batch + row));
  }
  return samples;
}

core::ExitCode Trainer::Run() {
  try {
    return Work();
  } catch (const core::OutOfMemoryError& error) {
    throw model::WithPlan(error, model_.config(), PlanOf());
  }
}

core::ExitCode Trainer::Work() {
  StartOrResume();
  if (leader()) {
    metrics_ = std::make_unique<rundir::MetricsWriter>(options_.layout.metrics());
    Describe();
  }
  const core::Bytes planned = DescribeMemory();
  const int64_t target = options_.config.steps;
  if (progress_.step > target) {
    throw core::ConfigError("--steps=" + std::to_string(target) + ", but the run has done " +
                            std::to_string(progress_.step) +
                            " already; ask for more, or resume an earlier step with --resume=STEP");
  }
  if (progress_.step == target) {
    if (leader())
      core::Log() << "nothing to do: step " << progress_.step << " of " << target << " is done";
    ReportEnd(planned);
    return core::ExitCode::kOk;
  }
  checkpoints_ = std::make_unique<RunCheckpoints>(
      options_.config, options_.layout, options_.identity, model_, optimizer_, groups_.world,
      progress_, start_.checkpoint() ? &*start_.checkpoint() : nullptr,
      std::max(stream_.threads(), options_.config.threads),
      [this](const rundir::SaveLine& line) { ReportSave(line); });
  AgreeOnProducts();
  gemm_rate_ = MeasureGemmRate(model_.dtype(), groups_.world, stream_);
  TrainingStep training_step(options_.config, ways_, model_, optimizer_, groups_, stream_);
  training_step.ProveSync();
  data::Prefetcher prefetcher(train_, [this](int64_t taken) { return SamplesOf(taken); });
  const auto [first_profiled, last_profiled] =
      configs::ProfiledSteps(options_.config.profile_steps);
  while (progress_.step < target) {
    EnterPhase(rundir::Phase::kStep);
    if (progress_.step + 1 == first_profiled) tensor::RecordProfile(true);
    const tensor::ProfilerRange range("step");
    const double start = core::MonotonicSeconds(), waited = prefetcher.wait_seconds();
    const StepResult result = training_step.Run(
        progress_.step + 1, [&] { return prefetcher.Next(); }, [this] { return Say(); });
    ++progress_.step;
    if (progress_.step == last_profiled) {
      stream_.Synchronize();
      tensor::RecordProfile(false);
    }
    progress_.sample_hash = core::Mix64(progress_.sample_hash + result.fed);
    const double seconds = core::MonotonicSeconds() - start;
    training_seconds_ += seconds;
    time_left_.StepTook(seconds);
    if (leader()) Report(result, seconds, prefetcher.wait_seconds() - waited);
    checkpoints_->Hear(result.least_saved, result.most_saved);
    const bool last = progress_.step == target;
    if (result.stop_code != 0 && !last) {
      if (leader()) {
        const bool asked = options_.stop_code && options_.stop_code() != 0;
        core::Log() << (asked ? "asked to stop" : "little time is left") << ": saving step "
                    << progress_.step;
      }
      Save(true);
      EnterPhase(rundir::Phase::kFinishing);
      return static_cast<core::ExitCode>(result.stop_code);
    }
    const auto due = [&](int64_t every) { return every > 0 && progress_.step % every == 0; };
    if (due(options_.config.check_replicas_every)) {
      CheckReplicas(model_, optimizer_, groups_, progress_.step);
    }
    // The best checkpoint is kept, so it must exist.
    const bool best = (last || due(options_.config.eval_every)) && Evaluate();
    if (last || best || checkpoints_->Due()) Save(last);
    if (!last) checkpoints_->CopyToNodes();
  }
  checkpoints_->End();
  EnterPhase(rundir::Phase::kFinishing);
  ReportEnd(planned);
  return core::ExitCode::kOk;
}

// Rank 0 alone looks at the clock: others may disagree about what time it is.
int Trainer::Asked(bool evaluation_due) const {
  const int code = options_.stop_code ? options_.stop_code() : 0;
  if (code != 0 || !leader()) return code;
  const bool up =
      time_left_.IsUp(core::MonotonicSeconds(), evaluation_due, checkpoints_->in_flight());
  return up ? static_cast<int>(core::ExitCode::kPreempted) : 0;
}

ControlWords Trainer::Say() {
  const int64_t every = options_.config.eval_every;
  const int64_t step = progress_.step + 1;
  // The last step cannot be stopped before its evaluation, so the one before it thinks of that.
  const bool evaluation_due = step + 1 >= options_.config.steps || (every > 0 && step % every == 0);
  return {Asked(evaluation_due), checkpoints_->said()};
}

bool Trainer::Evaluate() {
  const tensor::ProfilerRange range("evaluation");
  EnterPhase(rundir::Phase::kEvaluating);
  optimizer_.WaitForWeights();
  const double start = core::MonotonicSeconds();
  std::vector<Evaluation> parts;
  // Whoever is asked to stop says so in the next step; after the last one all is done anyway.
  const auto interrupted = [this] { return groups_.world.AnyOf(Asked(false) != 0); };
  for (const Evaluator& evaluator : evaluators_) {
    parts.push_back(evaluator.Run(model_, groups_.data, interrupted));
    if (!parts.back().complete) {
      if (leader()) core::Log() << "asked to stop: the evaluation is left";
      return false;
    }
  }
  time_left_.EvaluationTook(core::MonotonicSeconds() - start);
  const Evaluation evaluation = Together(parts);
  const bool best =
      evaluation.weight > 0 && (progress_.best.step == 0 || evaluation.loss < progress_.best.loss);
  if (best) progress_.best = {progress_.step, evaluation.loss};
  if (leader()) {
    ReportEvaluation(evaluation, parts, best, core::MonotonicSeconds() - start);
  }
  return best;
}

void Trainer::Save(bool wait) {
  const tensor::ProfilerRange range("save");
  EnterPhase(rundir::Phase::kSaving);
  optimizer_.WaitForWeights();
  if (options_.config.check_replicas_every > 0) {  // nothing corrupt is kept
    CheckReplicas(model_, optimizer_, groups_, progress_.step);
  }
  if (wait) {
    checkpoints_->SaveAndWait();
  } else {
    checkpoints_->Save();
  }
}

}  // namespace moat::trainer
