// A plan as people and scripts read it.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/device_sheet.h"
#include "launch/or_null.h"
#include "launch/run_plan.h"
#include "model/architecture/memory_fit.h"

namespace moat::launch {
namespace {

using nlohmann::ordered_json;

std::string N(int64_t value) { return std::to_string(value); }

std::string Counted(int64_t value, const std::string& what) {
  return N(value) + " " + what + (value == 1 ? "" : "s");
}

std::string Shown(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string ModelLine(const RunPlan& plan) {
  const configs::TrainConfig& train = plan.config.launch.train;
  const configs::ModelConfig& m = train.model;
  const auto count = [](int64_t n) { return core::FormatCount(static_cast<double>(n)); };
  return "model: " + count(plan.parameters) + " parameters, " + count(plan.in_products) +
         " of them in products; " + Counted(m.layers, "layer") + " of width " + N(m.width) + ", " +
         N(m.heads) + " heads, " + N(m.kv_heads) + " of keys and values, MLP of " + N(m.ffn) +
         ", vocabulary " + N(m.vocab_size) + ", seq_len " + N(m.seq_len) + "; " +
         core::Name(train.dtype) +
         (train.matmul_dtype == configs::MatmulDType::kFp8 ? ", products of layers in fp8" : "");
}

std::string GridLine(const RunPlan& plan) {
  const configs::TrainConfig& train = plan.config.launch.train;
  const Placement& place = plan.place;
  return "grid: dp=" + N(train.dp) + " x tp=" + N(train.tp) + " on " +
         Counted(place.nodes, "node") +
         (train.sequence_parallel && train.tp > 1 ? " with sequence parallelism" : "") +
         (plan.options.sharded ? ", the optimizer's state shared out (--zero=1)" : "") +
         "; global batch " + N(train.global_batch) + " = " + N(plan.ways.micro_batches) +
         " micro-batches of " + N(train.micro_batch) + ", " +
         N(plan.ways.micro_batches_per_rank()) + " on each data rank, in " + N(plan.ways.ways) +
         " ways";
}

std::string HardwareName(const RunPlan& plan) {
  return plan.config.hardware.empty() ? std::string(core::Name(plan.device)) : plan.config.hardware;
}

std::string FitLine(const RunPlan& plan) {
  if (!plan.room) return "fit: not said; --hardware=NAME or --device_memory=GIB would\n";
  return HardwareName(plan) + ": " + core::Format(*plan.device_memory) + " less " +
         core::Format(kReserve) + " for driver, libraries and program" +
         (plan.sharers > 1 ? ", shared by " + N(plan.sharers) + " ranks" : "") + ": " +
         core::Format(*plan.room) + " for a rank, which needs " +
         core::Format(plan.asked_grid().memory.total) +
         (plan.fits() ? ": it fits\n" : ": it does not fit\n");
}

// Cells right-aligned below their heads.
std::string Table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.front().size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      text += (i == 0 ? "" : "  ") + std::string(widths[i] - row[i].size(), ' ') + row[i];
    }
    text += "\n";
  }
  return text;
}

std::string Answer(const std::optional<bool>& yes) { return !yes ? "-" : *yes ? "yes" : "no"; }

std::string GridsText(const RunPlan& plan) {
  std::vector<std::vector<std::string>> rows = {{" ", "dp", "tp", "zero", "weights", "gradients",
                                                 "optimizer", "waiting sums", "activations",
                                                 "together", "fits"}};
  std::string refused;
  for (size_t i = 0; i < plan.grids.size(); ++i) {
    const GridPlan& grid = plan.grids[i];
    if (!grid.refused.empty()) {
      refused += "not dp=" + N(grid.dp) + " x tp=" + N(grid.tp) + ": " + grid.refused + "\n";
      continue;
    }
    std::vector<std::string> row = {i == plan.asked ? "*" : " ", N(grid.dp), N(grid.tp),
                                    N(grid.zero)};
    for (const char* part : {"weights", "gradients", "optimizer", "waiting sums", "activations"}) {
      row.push_back(core::Format(grid.memory.of(part)));
    }
    row.push_back(core::Format(grid.memory.total));
    row.push_back(Answer(grid.fits));
    rows.push_back(row);
  }
  return "grids of " + Counted(plan.place.ranks(), "rank") +
         ", and what each takes on its device (*: asked for)\n" + Table(rows) + refused;
}

std::string TimeText(const RunPlan& plan) {
  const configs::TrainConfig& train = plan.config.launch.train;
  std::string text =
      "work: " + core::FormatCount(plan.flops_per_token) + " FLOP a token (6N + 6LCT), " +
      N(plan.tokens_per_step) + " tokens and " +
      core::FormatCount(plan.flops_per_token * static_cast<double>(plan.tokens_per_step)) +
      " FLOP a step\n";
  if (!plan.time) return text + "time: not said, since " + plan.no_time + "\n";
  return text + "time: " + Shown("%.3g s a step, ", plan.time->step_seconds) +
         core::FormatCount(plan.time->tokens_per_second) + " tokens/s, " +
         core::FormatSeconds(plan.time->total_seconds) + " for " + N(train.steps) +
         " steps without evaluations and saves; assumed, not measured: " +
         Shown("%g%%", 100 * plan.config.utilization) + " (--utilization) of " +
         Shown("%g", plan.time->peak / 1e12) + " TFLOP/s a GPU" +
         (train.peak_tflops > 0 ? " (--peak_tflops)" : ", dense bf16 by the data sheet") + "\n";
}

std::string BytesText(const RunPlan& plan) {
  std::string text = "checkpoints: " + core::Format(plan.checkpoint) +
                     " each (weights and moments in f32), " +
                     core::Format(core::Bytes(plan.checkpoint.value * plan.checkpoints_kept)) +
                     " for " + N(plan.checkpoints_kept) + " at most\n";
  if (plan.place.ranks() == 1) return text;
  return text + "received by a rank in a step: " + core::Format(plan.data_received) +
         " over its data group, " + core::Format(plan.tensor_received) + " over its tensor group\n";
}

ordered_json Json(const model::MemoryPlan& memory) {
  ordered_json json;
  for (const model::MemoryItem& item : memory.items) {
    std::string key = item.name;
    std::replace(key.begin(), key.end(), ' ', '_');
    json[key] = item.bytes.value;
  }
  json["together"] = memory.total.value;
  return json;
}

ordered_json BytesOrNull(const std::optional<core::Bytes>& bytes) {
  return bytes ? ordered_json(bytes->value) : ordered_json(nullptr);
}

ordered_json Json(const GridPlan& grid, bool asked) {
  ordered_json json = {{"dp", grid.dp}, {"tp", grid.tp}, {"zero", grid.zero}, {"asked", asked}};
  if (!grid.refused.empty()) {
    json["refused"] = grid.refused;
    json["fits"] = nullptr;
    return json;
  }
  json["memory_bytes"] = Json(grid.memory);
  json["fits"] = OrNull(grid.fits);
  return json;
}

ordered_json ModelJson(const RunPlan& plan) {
  const configs::ModelConfig& m = plan.config.launch.train.model;
  return {{"parameters", plan.parameters},
          {"parameters_in_products", plan.in_products},
          {"layers", m.layers},
          {"width", m.width},
          {"heads", m.heads},
          {"kv_heads", m.kv_heads},
          {"ffn", m.ffn},
          {"vocab_size", m.vocab_size},
          {"seq_len", m.seq_len},
          {"dtype", core::Name(plan.config.launch.train.dtype)}};
}

ordered_json GridJson(const RunPlan& plan) {
  const configs::TrainConfig& train = plan.config.launch.train;
  return {{"nodes", plan.place.nodes},
          {"ranks_per_node", plan.place.ranks_per_node},
          {"dp", train.dp},
          {"tp", train.tp},
          {"zero", plan.options.sharded ? 1 : 0},
          {"threads", plan.options.passes.threads},
          {"device", core::Name(plan.device)},
          {"global_batch", train.global_batch},
          {"micro_batch", train.micro_batch},
          {"micro_batches", plan.ways.micro_batches},
          {"micro_batches_per_rank", plan.ways.micro_batches_per_rank()},
          {"ways", plan.ways.ways}};
}

ordered_json HardwareJson(const RunPlan& plan) {
  ordered_json helps = ordered_json::array();
  if (!plan.fits()) {
    for (const model::MemoryHelp& help :
         model::WhatHelps(plan.config.launch.train.model, plan.options)) {
      helps.push_back(
          {{"flag", help.flag}, {"bytes", help.needed.value}, {"fits", help.needed <= *plan.room}});
    }
  }
  const std::string& hardware = plan.config.hardware;
  return {{"name", hardware.empty() ? ordered_json(nullptr) : ordered_json(hardware)},
          {"memory_bytes", BytesOrNull(plan.device_memory)},
          {"reserve_bytes", kReserve.value},
          {"rank_bytes", BytesOrNull(plan.room)},
          {"fits", OrNull(plan.asked_grid().fits)},
          {"helps", helps}};
}

ordered_json TimeJson(const RunPlan& plan) {
  if (!plan.time) return nullptr;
  return {{"measured", false},
          {"peak_flops", plan.time->peak},
          {"utilization", plan.config.utilization},
          {"step_seconds", plan.time->step_seconds},
          {"tokens_per_second", plan.time->tokens_per_second},
          {"steps", plan.config.launch.train.steps},
          {"total_seconds", plan.time->total_seconds}};
}

}  // namespace

std::vector<std::string> Summary(const RunPlan& plan) {
  std::vector<std::string> lines = {ModelLine(plan), GridLine(plan),
                                    "memory per rank: " + plan.memory.text()};
  for (const std::string& assumption : plan.assumptions) lines.push_back("assumed: " + assumption);
  return lines;
}

std::string ToText(const RunPlan& plan) {
  std::string text;
  for (const std::string& line : Summary(plan)) text += line + "\n";
  const core::Bytes on_device = plan.asked_grid().memory.total;
  if (on_device < plan.memory.total) {
    text += "on its device " + core::Format(on_device) + ": the snapshot is the host's\n";
  }
  return text + FitLine(plan) + GridsText(plan) + TimeText(plan) + BytesText(plan);
}

std::string ToJson(const RunPlan& plan) {
  ordered_json grids = ordered_json::array();
  for (size_t i = 0; i < plan.grids.size(); ++i) {
    grids.push_back(Json(plan.grids[i], i == plan.asked));
  }
  const ordered_json json = {
      {"model", ModelJson(plan)},
      {"grid", GridJson(plan)},
      {"memory_bytes", Json(plan.memory)},
      {"hardware", HardwareJson(plan)},
      {"grids", grids},
      {"work",
       {{"flops_per_token", plan.flops_per_token},
        {"tokens_per_step", plan.tokens_per_step},
        {"flops_per_step", plan.flops_per_token * static_cast<double>(plan.tokens_per_step)}}},
      {"time", TimeJson(plan)},
      {"checkpoints", {{"bytes", plan.checkpoint.value}, {"kept_at_most", plan.checkpoints_kept}}},
      {"received_per_step_bytes",
       {{"data", plan.data_received.value}, {"tensor", plan.tensor_received.value}}},
      {"assumptions", plan.assumptions}};
  return json.dump(2) + "\n";
}

}  // namespace moat::launch
