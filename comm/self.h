// A group of one: what a program without peers trains with.
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace moat::comm {

std::unique_ptr<Communicator> MakeSelf(const std::string& name = "world");

}  // namespace moat::comm
