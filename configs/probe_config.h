// What moat-probe measures.
#pragma once

#include <string>
#include <vector>

namespace moat::configs {

struct ProbeConfig {
  // Of gemm (or gemm_f32, gemm_bf16), memory, disk, data, cuda, pairs, collectives; empty: all,
  // those of several ranks where there are some.
  std::vector<std::string> measure;
  std::vector<std::string> data;  // data sets whose shards are read; empty: none
  std::string run_root = "runs";  // whose disk is measured
  int threads = 0;                // per rank; 0: the cores of the node divided by the ranks on it
  double seconds = 2;             // that one measurement takes, about
  bool json = false;

  bool Measures(const std::string& what) const;  // `what` is named, or nothing is
};

void Validate(const ProbeConfig& config);

}  // namespace moat::configs
