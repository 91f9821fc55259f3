// A check in a process of its own: a library that crashes or hangs on hostile bytes is a finding
// about the bytes, not the end of the program.
#pragma once

#include <functional>
#include <string>

namespace moat::data {

// Runs `check` in a child process, which calls nothing but it. "" when it returned; else what the
// DataError it threw says, or how the child died. It gets ten minutes. Takes Hdf5Lock() while it
// forks, so that the child may call HDF5. Throws StorageError when there can be no child, and
// OutOfMemoryError when somebody kills it.
std::string ProblemInChild(const std::function<void()>& check);

}  // namespace moat::data
