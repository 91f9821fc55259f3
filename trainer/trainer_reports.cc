// What a trainer tells people: lines for the terminal and for metrics.jsonl.
#include <cinttypes>
#include <cstdio>

#include "core/clock.h"
#include "core/digest.h"
#include "core/logging.h"
#include "core/units.h"
#include "model/architecture/memory_plan.h"
#include "trainer/run_data.h"
#include "trainer/state_hash.h"
#include "trainer/trainer.h"

namespace moat::trainer {

void Trainer::Describe() const {
  const configs::TrainConfig& c = options_.config;
  core::Log() << "model: "
              << core::FormatCount(static_cast<double>(model::ParameterCount(model_.config())))
              << " parameters, vocabulary " << model_.config().vocab_size << ", seq_len "
              << c.model.seq_len << "; " << core::Name(c.dtype)
              << (c.matmul_dtype == configs::MatmulDType::kFp8 ? ", products of layers in fp8" : "")
              << " on " << options_.device;
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
  const model::MemoryPlan plan = model::PlanMemory(model_.config(), PlanOf());
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
  if (options_.device_peak > 0) {
    line.peak_fraction = line.tokens_per_second * model::FlopsPerToken(model_.config()) /
                         (options_.device_peak * groups_.world.size());
  }
  line.memory_bytes = core::PeakMemory().value;
  line.device_memory_bytes = device_memory_.Peak().value;
  line.device_memory_room = device_memory_.room().value;
  line.data_wait = waited / seconds;
  line.exposed_communication = groups_.data.size() > 1 ? result.communication_seconds / seconds : 0;
  line.eta_seconds = training_seconds_ / static_cast<double>(progress_.step - first_step_) *
                     static_cast<double>(c.steps - progress_.step);
  line.sample_hash = core::Hex(progress_.sample_hash);
  metrics_->Append(line);
  const bool of_peak = line.peak_fraction > 0;
  std::string on_device;
  if (line.device_memory_room > 0) {
    on_device = ", on the device " + core::Format(core::Bytes(line.device_memory_bytes)) + " of " +
                core::Format(core::Bytes(line.device_memory_room));
  }
  char text[320];
  std::snprintf(text, sizeof text,
                "step %" PRId64 "/%" PRId64
                "  loss %.4f  norm %.2f  lr %.1e  %.0f ms  %s tok/s  %s %.0f%%  mem %s%s  "
                "data %.1f%%  comm %.1f%%  eta %s",
                line.step, c.steps, line.loss, line.grad_norm, line.lr, line.ms,
                core::FormatCount(line.tokens_per_second).c_str(), of_peak ? "mfu" : "gemm",
                100 * (of_peak ? line.peak_fraction : line.gemm_fraction),
                core::Format(core::Bytes(line.memory_bytes)).c_str(), on_device.c_str(),
                100 * line.data_wait, 100 * line.exposed_communication,
                core::FormatSeconds(line.eta_seconds).c_str());
  core::Log() << text;
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

void Trainer::ReportSave(rundir::SaveLine line) {
  line.attempt = options_.attempt;
  time_left_.SaveTook(line.ms / 1e3);
  if (options_.board) options_.board->SaveTook(line.ms / 1e3);
  metrics_->Append(line);
  core::Log() << "saved " << line.directory << " in " << core::FormatSeconds(line.ms / 1e3)
              << ", of which training stopped for " << core::FormatSeconds(line.stopped_ms / 1e3);
}

// Collective: what people compare runs by, and what the plan is compared with.
void Trainer::ReportEnd(core::Bytes planned) {
  const uint64_t hash = StateHash(SlicesToSave(model_, optimizer_), groups_.world);
  const int64_t mine[] = {planned.value, core::PeakMemory().value};
  std::vector<int64_t> all(2 * static_cast<size_t>(groups_.world.size()));
  tensor::Stream host;
  groups_.world.AllGather(tensor::HostView(mine, 2),
                          tensor::HostView(all.data(), static_cast<int64_t>(all.size())), host);
  if (!leader()) return;
  size_t highest = 0;
  for (size_t rank = 0; rank < all.size() / 2; ++rank) {
    if (all[2 * rank + 1] > all[2 * highest + 1]) highest = rank;
  }
  core::Log() << "memory: rank " << highest << " took the most, "
              << core::Format(core::Bytes(all[2 * highest + 1])) << "; planned "
              << core::Format(core::Bytes(all[2 * highest]));
  core::Log() << "state hash " << core::Hex(hash) << ": of all weights and moments at step "
              << progress_.step << ", in global order";
}

}  // namespace moat::trainer
