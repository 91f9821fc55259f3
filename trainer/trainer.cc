// The training loop.
#include "trainer/trainer.h"

#include <cinttypes>
#include <cmath>

#include "checkpoint/manifest/line.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/durable_file.h"
#include "core/host.h"
#include "core/logging.h"
#include "core/rng.h"
#include "core/units.h"
#include "model/architecture/memory_plan.h"
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
                            "; leave the flag out, or import the data with that vocabulary");
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

std::string HexOf(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, value);
  return text;
}

}  // namespace

Trainer::Trainer(TrainerOptions options, const RankGroups& groups, tensor::Stream& stream)
    : options_(std::move(options)),
      groups_(groups),
      stream_(stream),
      start_(ChooseStart(options_.layout.checkpoints(), options_.config.resume, groups.world)),
      datasets_(OpenData(options_.config, start_, groups.world)),
      train_(datasets_, options_.config.data_weights, "train", StreamOptionsOf(options_.config)),
      validation_(ValidationOf(datasets_, StreamOptionsOf(options_.config))),
      model_(ModelFor(options_.config, datasets_.front()),
             ModelOptions(options_.config, groups.data.size(), &groups.tensor), stream),
      optimizer_(options_.config, model_, groups.data, stream),
      ways_(parallel::MakeWays(options_.config.reduction == configs::Reduction::kCanonical,
                               options_.config.global_batch, options_.config.micro_batch,
                               groups.data.size(), options_.config.canonical_ways)) {
  for (size_t i = 0; i < datasets_.size(); ++i) {
    evaluators_.emplace_back(validation_[i], CheckedTokenizer(datasets_[i]),
                             options_.config.micro_batch, options_.config.eval_batches);
  }
  for (const auto& [name, value] : DataIdentity(datasets_, options_.config.data_weights)) {
    options_.identity[name] = value;
  }
}

Trainer::~Trainer() = default;

void Trainer::EnterPhase(rundir::Phase phase) {
  if (options_.board) {
    options_.board->SetPhase(phase);
    options_.board->SetStep(progress_.step);
  }
}

void Trainer::StartOrResume() {
  EnterPhase(rundir::Phase::kLoading);
  if (start_) {
    Resume();
  } else {
    Begin();
  }
  first_step_ = progress_.step;
  checkpoints_ = std::make_unique<RunCheckpoints>(
      options_.config, options_.layout, options_.identity, model_, optimizer_, groups_.world,
      progress_, start_.has_value(), stream_.threads(),
      [this](const rundir::SaveLine& line) { ReportSave(line); });
}

void Trainer::Resume() {
  const Identity saved = ReadIdentity(checkpoint::ReadManifest(*start_));
  const Identity expected = ExpectedIdentity(saved, options_.identity, datasets_);
  progress_ = LoadState(*start_, expected, model_, optimizer_);
  if (const auto weights = saved.find(kInitialWeights); weights != saved.end()) {
    options_.identity[kInitialWeights] = weights->second;
  }
  if (!leader()) return;
  checkpoint::GoOnFrom(options_.layout.checkpoints(), start_->filename(), progress_.lineage);
  core::Log() << "resumed from step " << progress_.step << " (" << start_->string() << ")";
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
    LoadWeights(from, model_, optimizer_);
    options_.identity[kInitialWeights] = from.string();
    if (leader()) core::Log() << "begins with the weights of " << from.string();
  }
  const auto now = static_cast<uint64_t>(core::WallMicroseconds());
  progress_.run_id = groups_.world.BroadcastText(
      leader() ? HexOf(core::RandomBits(core::KeyFromName(now, core::RandomKey(8)), 0)) : "", 0);
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

void Trainer::Describe() const {
  const configs::TrainConfig& c = options_.config;
  core::Log() << "model: "
              << core::FormatCount(static_cast<double>(model::ParameterCount(model_.config())))
              << " parameters, vocabulary " << model_.config().vocab_size << ", seq_len "
              << c.model.seq_len << "; " << core::Name(c.dtype) << " on cpu";
  DescribeData();
  core::Log() << "grid: dp=" << groups_.data.size() << " x tp=" << groups_.tensor.size()
              << (model_.axis().sequence_parallel() ? " with sequence parallelism" : "")
              << (optimizer_.sharded() ? ", the optimizer's state shared out (--zero=1), " : ", ")
              << stream_.threads() << " threads a rank; global batch " << c.global_batch << " = "
              << ways_.micro_batches << " micro-batches of " << c.micro_batch << " in "
              << ways_.ways << " canonical ways"
              << (c.overlap == configs::OverlapMode::kOn
                      ? "; gradients reduced beside the backward pass"
                      : "");
}

// What this rank is going to take, written down before it does.
core::Bytes Trainer::DescribeMemory() const {
  const model::MemoryPlan plan = model::PlanMemory(
      model_.config(),
      {{options_.config.micro_batch, stream_.threads(), options_.config.dtype,
        groups_.tensor.size(), options_.config.sequence_parallel, options_.config.recompute},
       groups_.tensor.rank(),
       groups_.data.size(),
       optimizer_.sharded(),
       ways_.partial_sums(),
       configs::CopiesForCheckpoints(options_.config)});
  core::Bytes windows = train_.window_bytes();
  for (const data::SampleStream& split : validation_) windows += split.window_bytes();
  core::Bytes buffers;  // of the groups; a group of this rank alone has none
  for (const comm::Communicator* group : {&groups_.world, &groups_.data, &groups_.tensor}) {
    buffers += group->buffer_bytes();
  }
  const core::Bytes all = plan.total + windows + buffers + before_;
  if (leader()) {
    core::Log() << "memory per rank: " << plan.text() << "; with " << core::Format(windows)
                << " of shards, " << core::Format(buffers) << " of groups and "
                << core::Format(before_) << " of the program, " << core::Format(all);
  }
  return all;
}

void Trainer::DescribeData() const {
  const configs::TrainConfig& c = options_.config;
  const auto samples = static_cast<uint64_t>(c.steps * c.global_batch);
  for (size_t i = 0; i < datasets_.size(); ++i) {
    const auto part = static_cast<int32_t>(i);
    const int64_t own = train_.samples_per_epoch_of(part);
    core::Log line;
    line << "data: " << own << " training samples, " << validation_[i].samples_per_epoch()
         << " validation samples of up to " << c.model.seq_len << " tokens ("
         << datasets_[i].directory().string() << ", version " << datasets_[i].version() << " of "
         << datasets_[i].history().size() << ")";
    if (datasets_.size() == 1) continue;
    const auto read = static_cast<double>(train_.mixture().CountOf(part, samples));
    char text[96];
    std::snprintf(text, sizeof text, ": %.4f of what is read, %.2f times over in %" PRId64 " steps",
                  read / static_cast<double>(samples), read / static_cast<double>(own), c.steps);
    line << text;
  }
}

core::ExitCode Trainer::Run() {
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
    return core::ExitCode::kOk;
  }
  gemm_rate_ = MeasureGemmRate(model_.dtype(), groups_.world, stream_);
  TrainingStep training_step(options_.config, ways_, model_, optimizer_, groups_, stream_);
  training_step.ProveSync();
  data::Prefetcher prefetcher(train_, [this](int64_t taken) { return SamplesOf(taken); });
  while (progress_.step < target) {
    EnterPhase(rundir::Phase::kStep);
    const double start = core::MonotonicSeconds(), waited = prefetcher.wait_seconds();
    const StepResult result = training_step.Run(
        progress_.step + 1, [&] { return prefetcher.Next(); },
        [this] {
          return ControlWords{options_.stop_code ? options_.stop_code() : 0, checkpoints_->said()};
        });
    ++progress_.step;
    progress_.sample_hash = core::Mix64(progress_.sample_hash + result.fed);
    const double seconds = core::MonotonicSeconds() - start;
    training_seconds_ += seconds;
    if (leader()) Report(result, seconds, prefetcher.wait_seconds() - waited);
    checkpoints_->Hear(result.least_saved, result.most_saved);
    const bool last = progress_.step == target;
    if (result.stop_code != 0 && !last) {
      if (leader()) core::Log() << "asked to stop: saving step " << progress_.step;
      Save(true);
      return static_cast<core::ExitCode>(result.stop_code);
    }
    const auto due = [&](int64_t every) { return every > 0 && progress_.step % every == 0; };
    if (due(options_.config.check_replicas_every)) {
      CheckReplicas(model_, optimizer_, groups_, progress_.step);
    }
    // The best checkpoint is kept, so it must exist.
    const bool best = (last || due(options_.config.eval_every)) && Evaluate();
    if (last || best || checkpoints_->Due()) Save(last);
  }
  EnterPhase(rundir::Phase::kFinishing);
  ReportEnd(planned);
  return core::ExitCode::kOk;
}

// Collective: what people compare runs by, and what the plan is compared with.
void Trainer::ReportEnd(core::Bytes planned) {
  const uint64_t hash = StateHash(SlicesToSave(model_, optimizer_), groups_.world, stream_);
  const int64_t mine[] = {planned.value, core::PeakMemory().value};
  std::vector<int64_t> all(2 * static_cast<size_t>(groups_.world.size()));
  groups_.world.AllGather(tensor::HostView(mine, 2),
                          tensor::HostView(all.data(), static_cast<int64_t>(all.size())), stream_);
  if (!leader()) return;
  size_t highest = 0;
  for (size_t rank = 0; rank < all.size() / 2; ++rank) {
    if (all[2 * rank + 1] > all[2 * highest + 1]) highest = rank;
  }
  core::Log() << "memory: rank " << highest << " took the most, "
              << core::Format(core::Bytes(all[2 * highest + 1])) << "; planned "
              << core::Format(core::Bytes(all[2 * highest]));
  core::Log() << "state hash " << HexOf(hash) << ": of all weights and moments at step "
              << progress_.step << ", in global order";
}

void Trainer::Report(const StepResult& result, double seconds, double waited) {
  const configs::TrainConfig& c = options_.config;
  rundir::StepLine line;
  line.attempt = options_.attempt;
  line.step = progress_.step;
  line.loss = result.loss;
  line.grad_norm = result.grad_norm;
  line.lr = result.learning_rate;
  line.ms = seconds * 1e3;
  line.tokens_per_second = static_cast<double>(c.global_batch * c.model.seq_len) / seconds;
  line.gemm_fraction = line.tokens_per_second * model::FlopsPerToken(model_.config()) / gemm_rate_;
  line.memory_bytes = core::PeakMemory().value;
  line.data_wait = waited / seconds;
  line.exposed_communication = groups_.data.size() > 1 ? result.communication_seconds / seconds : 0;
  line.eta_seconds = training_seconds_ / static_cast<double>(progress_.step - first_step_) *
                     static_cast<double>(c.steps - progress_.step);
  line.sample_hash = HexOf(progress_.sample_hash);
  metrics_->Append(line);
  char text[256];
  std::snprintf(text, sizeof text,
                "step %" PRId64 "/%" PRId64
                "  loss %.4f  norm %.2f  lr %.1e  %.0f ms  %s tok/s  gemm %.0f%%  mem %s  "
                "data %.1f%%  comm %.1f%%  eta %s",
                line.step, c.steps, line.loss, line.grad_norm, line.lr, line.ms,
                core::FormatCount(line.tokens_per_second).c_str(), 100 * line.gemm_fraction,
                core::Format(core::Bytes(line.memory_bytes)).c_str(), 100 * line.data_wait,
                100 * line.exposed_communication, core::FormatSeconds(line.eta_seconds).c_str());
  core::Log() << text;
}

bool Trainer::Evaluate() {
  EnterPhase(rundir::Phase::kEvaluating);
  optimizer_.WaitForWeights();
  const double start = core::MonotonicSeconds();
  std::vector<Evaluation> parts;
  for (const Evaluator& evaluator : evaluators_) {
    parts.push_back(evaluator.Run(model_, groups_.data, stream_));
  }
  const Evaluation evaluation = Together(parts);
  const bool best =
      evaluation.weight > 0 && (progress_.best.step == 0 || evaluation.loss < progress_.best.loss);
  if (best) progress_.best = {progress_.step, evaluation.loss};
  if (leader()) {
    ReportEvaluation(evaluation, parts, best, core::MonotonicSeconds() - start);
  }
  return best;
}

void Trainer::ReportEvaluation(const Evaluation& evaluation, const std::vector<Evaluation>& parts,
                               bool best, double seconds) {
  rundir::EvaluationLine line{
      options_.attempt, progress_.step, evaluation.loss, evaluation.bits_per_byte, {}};
  char text[160];
  std::snprintf(text, sizeof text,
                "validation at step %" PRId64 ": loss %.4f, %.4f bits per byte%s, %s",
                progress_.step, evaluation.loss, evaluation.bits_per_byte,
                best ? ", the best so far" : "", core::FormatSeconds(seconds).c_str());
  core::Log() << text;
  const std::vector<std::string> names = NamesOf(datasets_);
  for (size_t i = 0; i < parts.size() && parts.size() > 1; ++i) {
    line.by_data[names[i]] = {parts[i].loss, parts[i].bits_per_byte};
    std::snprintf(text, sizeof text, ": loss %.4f, %.4f bits per byte", parts[i].loss,
                  parts[i].bits_per_byte);
    core::Log() << "  of " << names[i] << text;
  }
  metrics_->Append(line);
}

void Trainer::Save(bool wait) {
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

void Trainer::ReportSave(rundir::SaveLine line) {
  line.attempt = options_.attempt;
  metrics_->Append(line);
  core::Log() << "saved " << line.directory << " in " << core::FormatSeconds(line.ms / 1e3)
              << ", of which training stopped for " << core::FormatSeconds(line.stopped_ms / 1e3);
}

}  // namespace moat::trainer
