// A job as `moat launch` makes it of flags.
#pragma once

#include <string>
#include <vector>

#include "launch/job_spec.h"

namespace moat::launch {

inline JobSpec Job(const std::vector<std::string>& more) {
  std::vector<std::string> words = {"--run=r", "--data=d"};
  words.insert(words.end(), more.begin(), more.end());
  JobSpec job;
  job.flags = configs::CommandLine::Parse("launch", words);
  job.config = configs::LaunchConfigFromFlags(job.flags);
  job.program = "/opt/moat/bin/moat-train";
  job.directory = "/home/ada";
  job.cores = 8;
  job.attempt = 3;
  return job;
}

}  // namespace moat::launch
