// Measurements as JSON and as text.
#include "programs/moat_probe/report.h"

#include <cstdio>

namespace moat::programs {
namespace {

using Json = nlohmann::ordered_json;

template <typename... Values>
void Append(std::string* text, const char* format, Values... values) {
  char line[512];
  std::snprintf(line, sizeof line, format, values...);
  *text += line;
}

void AppendGemm(std::string* text, const char* type, const Json& rates) {
  if (!rates["problem"].get<std::string>().empty()) {
    Append(text, "  products %-5s none: %s\n", type, rates["problem"].get<std::string>().c_str());
    return;
  }
  Append(text, "  products %-5s best %7.1f GFLOP/s, all of GPT-2 124M's %7.1f\n", type,
         rates["best_gflops"].get<double>(), rates["whole_gflops"].get<double>());
  for (const Json& each : rates["products"]) {
    Append(text, "    [%lld, %lld] x [%lld, %lld] %8.1f GFLOP/s, %s weights\n",
           each["m"].get<long long>(), each["k"].get<long long>(), each["k"].get<long long>(),
           each["n"].get<long long>(), each["gflops"].get<double>(),
           each["layout"].get<std::string>().c_str());
  }
}

void AppendCuda(std::string* text, const Json& cuda) {
  const std::string problem = cuda["problem"];
  if (!problem.empty()) Append(text, "  cuda           %s\n", problem.c_str());
  for (const Json& device : cuda["devices"]) {
    Append(text, "  cuda           %s, %.1f GiB: f32 %.0f, bf16 %.0f GFLOP/s\n",
           device["name"].get<std::string>().c_str(), device["memory"].get<double>() / (1 << 30),
           device["f32_gflops"].get<double>(), device["bf16_gflops"].get<double>());
    for (const char* what : {"product_problem", "nccl_problem"}) {
      const std::string trouble = device[what];
      if (!trouble.empty()) Append(text, "    %s: %s\n", what, trouble.c_str());
    }
  }
}

void AppendCollectives(std::string* text, const char* memory, const Json& rates) {
  Append(text, "collectives of %d ranks, %s memory: barrier %.1f us\n", rates["ranks"].get<int>(),
         memory, 1e6 * rates["barrier_seconds"].get<double>());
  for (const Json& each : rates["rates"]) {
    const double bytes = each["bytes"].get<double>(), seconds = each["seconds"].get<double>();
    Append(text, "  %-15s %10.0f bytes %10.1f us %8.2f GB/s\n",
           each["what"].get<std::string>().c_str(), bytes, 1e6 * seconds, 1e-9 * bytes / seconds);
  }
}

}  // namespace

Json ToJson(const GemmRates& rates) {
  Json products = Json::array();
  for (const ProductRate& each : rates.products) {
    products.push_back({{"m", each.m},
                        {"n", each.n},
                        {"k", each.k},
                        {"gflops", each.gflops},
                        {"layout", each.layout}});
  }
  return {{"problem", rates.problem},
          {"best_gflops", rates.best},
          {"whole_gflops", rates.whole},
          {"products", products}};
}

Json ToJson(const DiskRates& rates) {
  return {{"free_bytes", rates.free.value},
          {"write_mb_per_s", rates.write_mb},
          {"read_mb_per_s", rates.read_mb},
          {"sync_seconds", rates.sync_seconds}};
}

Json ToJson(const CudaProbe& probe) {
  Json devices = Json::array();
  for (size_t i = 0; i < probe.devices.size(); ++i) {
    const tensor::CudaReport::Device& device = probe.report.devices[i];
    const CudaDeviceProbe& tried = probe.devices[i];
    devices.push_back({{"name", device.name},
                       {"memory", device.memory.value},
                       {"free_memory", device.free_memory.value},
                       {"capability", device.major * 10 + device.minor},
                       {"f32_gflops", tried.f32_gflops},
                       {"bf16_gflops", tried.bf16_gflops},
                       {"product_problem", tried.product_problem},
                       {"nccl_problem", tried.nccl_problem}});
  }
  return {{"built", probe.report.built},
          {"problem", probe.report.problem},
          {"driver", probe.report.driver},
          {"runtime", probe.report.runtime},
          {"cublaslt", probe.report.cublaslt},
          {"cudnn", probe.report.cudnn},
          {"nccl", probe.nccl},
          {"devices", devices}};
}

Json ToJson(const CollectiveRates& measured) {
  Json rates = Json::array();
  for (const CollectiveRate& each : measured.rates) {
    rates.push_back({{"what", each.what}, {"bytes", each.bytes.value}, {"seconds", each.seconds}});
  }
  return {
      {"ranks", measured.ranks}, {"barrier_seconds", measured.barrier_seconds}, {"rates", rates}};
}

std::string ToText(const Json& whole) {
  std::string text;
  for (const Json& rank : whole["ranks"]) {
    Append(&text, "rank %d on %s, %d threads\n", rank["rank"].get<int>(),
           rank["host"].get<std::string>().c_str(), rank["threads"].get<int>());
    if (rank.contains("gemm")) {
      for (const auto& [type, rates] : rank["gemm"].items()) AppendGemm(&text, type.c_str(), rates);
    }
    if (rank.contains("memory_gb_per_s")) {
      Append(&text, "  memory         %.1f GB/s\n", rank["memory_gb_per_s"].get<double>());
    }
    if (rank.contains("disk")) {
      const Json& disk = rank["disk"];
      Append(&text,
             "  disk           write+fsync %.0f MB/s, read %.0f MB/s, fsync of 4 KiB %.2f ms\n",
             disk["write_mb_per_s"].get<double>(), disk["read_mb_per_s"].get<double>(),
             1e3 * disk["sync_seconds"].get<double>());
    }
    if (rank.contains("data_mb_per_s")) {
      Append(&text, "  data           read %.0f MB/s\n", rank["data_mb_per_s"].get<double>());
    }
    if (rank.contains("pairs_gb_per_s")) {
      Append(&text, "  pairs          %.2f GB/s\n", rank["pairs_gb_per_s"].get<double>());
    }
    if (rank.contains("cuda")) AppendCuda(&text, rank["cuda"]);
  }
  if (whole.contains("collectives")) AppendCollectives(&text, "host", whole["collectives"]);
  if (whole.contains("cuda_collectives")) {
    AppendCollectives(&text, "device", whole["cuda_collectives"]);
  }
  return text;
}

}  // namespace moat::programs
