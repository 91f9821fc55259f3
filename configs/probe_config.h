// What moat-probe measures.
#pragma once

#include <string>
#include <vector>

namespace moat::configs {

struct ProbeConfig {
  // Of gemm, memory, disk, cuda, collectives; empty: all, and collectives where there are ranks.
  std::vector<std::string> measure;
  std::string run_root = "runs";  // whose disk is measured
  int threads = 0;                // per rank; 0: the cores of the node divided by the ranks on it
  double seconds = 2;             // that one measurement takes, about
  bool json = false;

  bool Measures(const std::string& what) const;  // `what` is named, or nothing is
};

void Validate(const ProbeConfig& config);

}  // namespace moat::configs
