// A group of one: what a program without peers trains with.
#pragma once

#include <memory>

#include "comm/communicator.h"

namespace moat::comm {

// `self`: this rank, where it is one of a larger world.
std::unique_ptr<Communicator> MakeSelf(const std::string& name = "world", const Member& self = {});

}  // namespace moat::comm
