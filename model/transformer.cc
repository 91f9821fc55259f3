// The transformer: memory, initial values, and the passes' outline.
#include "model/transformer.h"

#include <algorithm>
#include <cstring>

#include "core/rng.h"

namespace moat::model {

using tensor::ConstView;
using tensor::View;

static_assert(kLossStatistics == tensor::kPartStatistics, "the plan knows what the loss gathers");

namespace {

constexpr int64_t kHostElement = 4;  // bytes: all of it is i32 or f32

// The ranks of `tensor` that hold this one's kv heads; null where no other does. Collective.
std::unique_ptr<comm::Communicator> CopiesGroup(const std::vector<Parameter>& table,
                                                const ParameterIndex& index,
                                                comm::Communicator* tensor) {
  if (tensor == nullptr) return nullptr;
  const auto& keys = table[static_cast<size_t>(index.layers[0].wq + 1)].split;
  const int copies = parallel::Copies(keys, tensor->size());
  if (copies == 1) return nullptr;
  std::vector<int> ranks;
  for (int i = 0; i < copies; ++i) ranks.push_back(tensor->rank() / copies * copies + i);
  return tensor->Group("kv heads", ranks);
}

}  // namespace

Transformer::Transformer(const configs::ModelConfig& config, const TransformerOptions& options,
                         tensor::Stream& stream)
    : config_(config),
      dtype_(options.dtype),
      recompute_(options.recompute),
      matmul_dtype_(options.matmul_dtype),
      max_rows_(options.max_rows),
      stream_(stream),
      table_(ParameterTable(config)),
      index_(IndexParameters(config, table_)),
      axis_({.group = options.tensor}, {}),
      host_(core::Bytes(static_cast<int64_t>(OnHost::kCount) * kHostElement * max_rows_ *
                        config.seq_len),
            stream.device()) {
  plan_ = PlanActivations(
      config, {max_rows_, stream.threads(), dtype_, axis_.size(), options.sequence_parallel,
               recompute_, stream.device(), matmul_dtype_});
  layout_ = FlatLayout(table_, axis_.rank(), axis_.size());
  const parallel::Slice tokens = slice(index_.embedding);
  vocabulary_ = {tokens.begin[0], tokens.end[0] - tokens.begin[0]};
  if (matmul_dtype_ == configs::MatmulDType::kFp8) {
    MOAT_CHECK(dtype_ == core::DType::kBF16, "FP8 products are of bf16 weights and activations");
    tensor::CheckFloat8(stream);
  }
  MOAT_CHECK(options.with_master_weights || dtype_ != core::DType::kF32,
             "in f32 the passes read the master weights");
  const int64_t multiple = options.flat_multiple;
  const int64_t total = (layout_.back().end() + multiple - 1) / multiple * multiple;
  const core::DeviceKind device = stream.device();
  if (options.with_master_weights) weights_ = tensor::Tensor(total, core::DType::kF32, device);
  if (dtype_ != core::DType::kF32) rounded_ = tensor::Tensor(total, dtype_, device);
  if (options.with_gradients) gradients_ = tensor::Tensor(total, core::DType::kF32, device);
  arena_ = tensor::Tensor(plan_.total.value, core::DType::kU8, device);
  copies_ = CopiesGroup(table_, index_, options.tensor);
  axis_ = TensorAxis({options.tensor, copies_.get(), options.sequence_parallel}, PlannedScratch());
  shape_ = LayerShapeOf(config, axis_.size());
  tensor::CheckAttention(AttentionOf(max_rows_), dtype_, options.with_gradients, stream);
  BindParameters();
  for (int64_t l = 0; l < config.layers; ++l) layer_buffers_.push_back(PlannedLayer(l));
  common_ = PlannedCommon();
}

void Transformer::RoundWeights() {
  if (rounded_.count() > 0) tensor::Cast(weights(), rounded_weights(), stream_);
}

void Transformer::InitializeWeights(uint64_t seed) {
  for (int p = 0; p < static_cast<int>(table_.size()); ++p) {
    InitialValues(table_[static_cast<size_t>(p)], slice(p), seed, weight(p), stream_);
  }
  RoundWeights();
}

tensor::AttentionShape Transformer::AttentionOf(int64_t rows) const {
  return {rows, config_.seq_len, shape_.heads, shape_.kv_heads, shape_.head_width, kAttentionTile};
}

tensor::DropoutKey Transformer::DropoutFor(const MicroBatch& batch, int64_t place) const {
  const uint64_t key = core::KeyFromName(
      core::Mix64(seed_) + core::Mix64(static_cast<uint64_t>(step_)) + static_cast<uint64_t>(place),
      "dropout");
  return {key, batch.samples, config_.seq_len, static_cast<float>(dropout_),
          axis_.Here(batch.rows * config_.seq_len).begin};
}

View Transformer::HostArray(OnHost array, int64_t count, core::DType dtype) {
  const int64_t room = max_rows_ * config_.seq_len;
  MOAT_CHECK(core::SizeOf(dtype) == kHostElement && count <= room, "an array of the host buffer");
  const auto before = static_cast<int64_t>(array) * room;
  return host_.view(before + room, dtype).Range(before, count);
}

// From host_ where the device is not the CPU: a copy from other memory may hold the host up. The
// pass before has waited for its losses, so nothing reads host_ any more.
void Transformer::LoadBatch(const MicroBatch& batch) {
  MOAT_CHECK(batch.rows >= 1 && batch.rows <= max_rows_, "more rows than planned");
  const int64_t tokens = batch.rows * config_.seq_len;
  const CommonBuffers at = CommonFor(batch.rows);
  const View positions = HostArray(OnHost::kPositions, tokens, core::DType::kI32);
  for (int64_t t = 0; t < tokens; ++t) {
    const auto slot = static_cast<int32_t>(t % config_.seq_len);
    MOAT_CHECK(batch.span_start[t] >= 0 && batch.span_start[t] <= slot,
               "a span starts after its slot");
    positions.as<int32_t>()[t] = slot - batch.span_start[t];
  }
  const auto copy = [&](const auto* given, OnHost array, View to) {
    ConstView from = tensor::HostView(given, tokens);
    if (stream_.device() != core::DeviceKind::kCpu) {
      const View pinned = HostArray(array, tokens, from.dtype);
      std::memcpy(pinned.data, from.data, static_cast<size_t>(from.bytes().value));
      from = pinned;
    }
    tensor::Copy(from, to, stream_);
  };
  copy(batch.tokens, OnHost::kTokens, at.tokens);
  copy(batch.targets, OnHost::kTargets, at.targets);
  copy(batch.span_start, OnHost::kSpanStart, at.span_start);
  copy(batch.weights, OnHost::kWeights, at.weights);
  tensor::Copy(positions, at.positions, stream_);
}

void Transformer::EmbedTokens(ConstView tokens, ConstView positions, View hidden) {
  const View table = PassWeight(index_.embedding);
  axis_.Sum(hidden, stream_, [&](View sum) {  // each rank knows its tokens' rows
    const View rows = sum.dtype == table.dtype ? sum : axis_.Scratch(sum.count);
    tensor::Embed(tokens, table, vocabulary_.begin, rows, config_.width, false, stream_);
    if (rows.data != sum.data) tensor::Cast(rows, sum, stream_);
  });
  if (index_.position != kAbsent) {
    const parallel::FlatRange here = axis_.Here(positions.count);
    tensor::Embed(positions.Range(here.begin, here.count), PassWeight(index_.position), 0, hidden,
                  config_.width, true, stream_);
  }
}

void Transformer::OutputProduct(ConstView normed, View logits) {
  tensor::MatMul(false, true, normed.count / config_.width, vocabulary_.count, config_.width,
                 normed, PassWeight(index_.output), {}, logits, false, stream_);
}

// Each rank's columns among zeros, summed: parts are uneven, and this is no training.
void Transformer::WholeLogits(ConstView normed, View logits) {
  if (axis_.size() == 1) return OutputProduct(normed, logits);
  const int64_t rows = normed.count / config_.width, mine = vocabulary_.count;
  tensor::Tensor part(rows * mine, core::DType::kF32, stream_.device());
  OutputProduct(normed, part.view());
  tensor::Zero(logits, stream_);
  for (int64_t r = 0; r < rows; ++r) {
    tensor::Copy(part.view().Range(r * mine, mine),
                 logits.Range(r * config_.vocab_size + vocabulary_.begin, mine), stream_);
  }
  axis_.SumInPlace(logits, stream_);
  axis_.Finish(stream_);  // before the part goes
}

void Transformer::ForwardLayers(const MicroBatch& batch) {
  LoadBatch(batch);
  const CommonBuffers at = CommonFor(batch.rows);
  const View first = LayerFor(0, batch.rows).input;
  const auto need = [&](int64_t end) {
    if (on_weights_needed_) on_weights_needed_(end);
  };
  const auto begin_of = [&](int parameter) {
    return layout_[static_cast<size_t>(parameter)].begin;
  };
  need(begin_of(index_.layers.front().attention_norm));
  EmbedTokens(at.tokens, at.positions, first);
  tensor::Dropout(first, config_.width, DropoutFor(batch, 0), stream_);
  for (int64_t l = 0; l < config_.layers; ++l) {
    need(l + 1 < config_.layers ? begin_of(index_.layers[static_cast<size_t>(l) + 1].attention_norm)
                                : begin_of(index_.final_norm));
    ForwardLayer(batch, l);
  }
  need(layout_.back().end());
  NormForward(final_norm_, at.final_input, at.final_norm, stream_);
}

void Transformer::ForwardLayer(const MicroBatch& batch, int64_t l) {
  const LayerBuffers at = LayerFor(l, batch.rows);
  const CommonBuffers common = CommonFor(batch.rows);
  const LayerContext context = ContextFor(common);
  const View next = l + 1 < config_.layers ? LayerFor(l + 1, batch.rows).input : common.final_input;
  BeforeAttention(context, layer(l), at);
  tensor::Attention(AttentionOf(batch.rows), common.span_start, at.qkv, at.attention, at.log_sum,
                    common.workspace, stream_);
  AfterAttention(context, layer(l), at, DropoutFor(batch, AttentionPlace(l)),
                 DropoutFor(batch, FfnPlace(l)), common.branch, next);
}

// What the backward pass needs of a layer and ForwardLayer wrote where later layers have written
// since.
void Transformer::RecomputeLayer(const MicroBatch& batch, int64_t l) {
  if (recompute_ == configs::Recompute::kNone || l == config_.layers - 1) return;
  const LayerBuffers at = LayerFor(l, batch.rows);
  const CommonBuffers common = CommonFor(batch.rows);
  const LayerContext context = ContextFor(common);
  const bool block = recompute_ == configs::Recompute::kBlock;
  if (block) {
    BeforeAttention(context, layer(l), at);
  } else {
    ProjectQkv(context, layer(l), at);
  }
  tensor::Attention(AttentionOf(batch.rows), common.span_start, at.qkv, at.attention, at.log_sum,
                    common.workspace, stream_);
  if (block) {
    JoinAttention(context, layer(l), at, DropoutFor(batch, AttentionPlace(l)), common.branch);
  }
  ApplyMlp(context, layer(l), at);
}

LossSums Transformer::ForwardBackward(const MicroBatch& batch, uint64_t seed, int64_t step,
                                      bool accumulate, const OnGradReady& on_ready) {
  MOAT_CHECK(gradients_.count() > 0, "a model without gradients");
  seed_ = seed;
  step_ = step;
  dropout_ = config_.dropout;
  ForwardLayers(batch);
  Loss(batch, true, accumulate);
  BackwardLayers(
      batch, accumulate, on_ready ? on_ready : [](int) {});
  return SumsOfLosses(batch);
}

namespace {

// Of groups of neighbours, those that exist.
void Announce(const OnGradReady& ready, std::initializer_list<std::pair<int, int>> groups) {
  for (const auto& [first, count] : groups) {
    for (int i = count - 1; first != kAbsent && i >= 0; --i) ready(first + i);
  }
}

}  // namespace

void Transformer::BackwardLayers(const MicroBatch& batch, bool accumulate,
                                 const OnGradReady& ready) {
  const CommonBuffers common = CommonFor(batch.rows);
  const LayerContext context = ContextFor(common);
  if (index_.output != index_.embedding) ready(index_.output);
  NormBackward(final_norm_, axis_, common.final_input, common.final_norm, common.gradient.residual,
               common.gradient.residual, accumulate, stream_);
  Announce(ready, {{index_.final_norm_bias, 1}, {index_.final_norm, 1}});
  for (int64_t l = config_.layers - 1; l >= 0; --l) {
    const LayerBuffers at = LayerFor(l, batch.rows);
    const LayerIndex& p = index_.layers[static_cast<size_t>(l)];
    RecomputeLayer(batch, l);
    BackwardFfn(context, layer(l), at, common.gradient, DropoutFor(batch, FfnPlace(l)), accumulate);
    Announce(ready, {{p.b_down, 1},
                     {p.w_down, 1},
                     {p.b_in, p.in_count},
                     {p.w_in, p.in_count},
                     {p.ffn_norm_bias, 1},
                     {p.ffn_norm, 1}});
    BackwardAttention(context, layer(l), at, common.gradient, DropoutFor(batch, AttentionPlace(l)),
                      AttentionOf(batch.rows), common.span_start, common.workspace, accumulate);
    Announce(ready, {{p.bo, 1},
                     {p.wo, 1},
                     {p.bq, 3},
                     {p.wq, 3},
                     {p.attention_norm_bias, 1},
                     {p.attention_norm, 1}});
  }
  BackwardEmbedding(batch, accumulate);
  Announce(ready, {{index_.position, 1}, {index_.embedding, 1}});
}

void Transformer::BackwardEmbedding(const MicroBatch& batch, bool accumulate) {
  const CommonBuffers at = CommonFor(batch.rows);
  const View residual = at.gradient.residual;
  tensor::Dropout(residual, config_.width, DropoutFor(batch, 0), stream_);
  const ConstView dy = axis_.Whole(residual, stream_);
  // Look-ups add to their gradient. A tied embedding's was written by the output product already.
  const auto look_up = [&](ConstView ids, int parameter, int64_t first, bool fresh) {
    const View table = gradient(parameter);
    if (fresh) tensor::Zero(table, stream_);
    tensor::EmbedGrad(ids, dy, table, first, config_.width, stream_);
  };
  look_up(at.tokens, index_.embedding, vocabulary_.begin, !accumulate && !config_.tie_embeddings);
  if (index_.position != kAbsent) look_up(at.positions, index_.position, 0, !accumulate);
}

LossSums Transformer::Evaluate(const MicroBatch& batch, float* losses) {
  dropout_ = 0;
  ForwardLayers(batch);
  Loss(batch, false, false);
  const LossSums sums = SumsOfLosses(batch);
  const int64_t tokens = batch.rows * config_.seq_len;
  if (losses) {
    std::copy_n(HostArray(OnHost::kLosses, tokens, core::DType::kF32).as<float>(), tokens, losses);
  }
  return sums;
}

void Transformer::Logits(const MicroBatch& batch, float* logits) {
  dropout_ = 0;
  ForwardLayers(batch);
  const int64_t tokens = batch.rows * config_.seq_len;
  tensor::Tensor there(tokens * config_.vocab_size, core::DType::kF32, stream_.device());
  WholeLogits(axis_.Whole(CommonFor(batch.rows).final_norm.y, stream_), there.view());
  tensor::Copy(std::as_const(there).view(), tensor::HostView(logits, there.count()), stream_);
  axis_.Finish(stream_);
}

// Losses of slots [begin, begin + rows) from the logits of this rank's part of the vocabulary, and
// in `dlogits`, where not empty, their gradient. Of other parts a rank learns three numbers a slot.
void Transformer::LossOfChunk(const CommonBuffers& at, ConstView logits, int64_t begin,
                              int64_t rows, View dlogits) {
  const View targets = at.targets.Range(begin, rows), weights = at.weights.Range(begin, rows);
  const View losses = at.losses.Range(begin, rows);
  if (axis_.size() == 1) {
    return tensor::CrossEntropy(logits, targets, weights, losses, dlogits, stream_);
  }
  const View mine = at.statistics.Range(0, rows * kLossStatistics);
  const View all = at.all_statistics.Range(0, mine.count * axis_.size());
  tensor::PartStatistics(logits, targets, vocabulary_.begin, mine, stream_);
  axis_.Gather(mine, all, stream_);
  tensor::CrossEntropyOfPart(all, logits, targets, vocabulary_.begin, weights, losses, dlogits,
                             stream_);
}

void Transformer::ChunkLoss(const CommonBuffers& at, ConstView normed, int64_t begin, int64_t rows,
                            View dlogits) {
  const int64_t part = vocabulary_.count, most = LossChunksOn(stream_.device()).logits;
  for (int64_t done = 0; done < rows; done += most) {
    const int64_t count = std::min(most, rows - done);
    const View logits = at.logits.Range(0, count * part);
    OutputProduct(normed.Range((begin + done) * config_.width, count * config_.width), logits);
    LossOfChunk(at, logits, begin + done, count,
                dlogits.empty() ? dlogits : dlogits.Range(done * part, count * part));
  }
}

void Transformer::Loss(const MicroBatch& batch, bool gradient, bool accumulate) {
  const int64_t tokens = batch.rows * config_.seq_len;
  const int64_t width = config_.width, part = vocabulary_.count;
  const CommonBuffers at = CommonFor(batch.rows);
  const ConstView normed = axis_.Whole(at.final_norm.y, stream_);
  const int64_t most = LossChunksOn(stream_.device()).gradients;
  const auto chunks = [&](View dnormed) {
    for (int64_t begin = 0; begin < tokens; begin += most) {
      const int64_t rows = std::min(most, tokens - begin);
      const View dlogits = gradient ? at.gradient_logits.Range(0, rows * part) : View{};
      ChunkLoss(at, normed, begin, rows, dlogits);
      if (!gradient) continue;
      tensor::MatMul(false, false, rows, width, part, dlogits, PassWeight(index_.output), {},
                     dnormed.Range(begin * width, rows * width), false, stream_);
      tensor::MatMul(true, false, part, width, rows, dlogits,
                     normed.Range(begin * width, rows * width), {}, this->gradient(index_.output),
                     accumulate || begin > 0, stream_);
    }
  };
  if (gradient) {
    axis_.Sum(at.gradient.residual, stream_, chunks);
  } else {
    chunks({});
  }
}

// The last pass's, in the order of slots; waits for it. Not before the backward pass was given to
// the stream, so that a device does not wait for the host.
LossSums Transformer::SumsOfLosses(const MicroBatch& batch) {
  const View losses = CommonFor(batch.rows).losses;
  const View here = HostArray(OnHost::kLosses, losses.count, losses.dtype);
  tensor::Copy(losses, here, stream_);
  axis_.Finish(stream_);
  LossSums sums;
  for (int64_t t = 0; t < losses.count; ++t) {
    sums.weighted_loss += static_cast<double>(here.as<float>()[t]);
    sums.weight += static_cast<double>(batch.weights[t]);
  }
  return sums;
}

}  // namespace moat::model
