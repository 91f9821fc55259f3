// What to do about the end of a run: one command.
#pragma once

#include <string>

#include "launch/why.h"
#include "rundir/layout.h"

namespace moat::launch {

struct Advice {
  std::string text;     // a sentence
  std::string command;  // as a shell takes it; "" where nothing is to be done
};

// By cause, rank and the run's flags (which need not be readable).
Advice AdviceFor(const Why& why, const rundir::RunLayout& layout);

}  // namespace moat::launch
