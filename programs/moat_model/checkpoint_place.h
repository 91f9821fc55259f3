// Where the checkpoints are that somebody names: of a run, in a directory, or one alone.
#pragma once

#include <filesystem>
#include <string>

namespace moat::programs {

// The directory with the checkpoints of `place`: of a run in `run_root`; else the place itself, or
// the ckpt/ in it. Throws ConfigError where there is no such place.
std::filesystem::path CheckpointRootOf(const std::string& run_root, const std::string& place);

// The place itself where it is one checkpoint, else the newest of a run's own line in it. Throws
// ConfigError as CheckpointRootOf, and where there is none.
std::filesystem::path OneCheckpoint(const std::string& run_root, const std::string& place);

// Is the place itself a checkpoint, or meant to be one by its name?
bool IsOneCheckpoint(const std::filesystem::path& place);

}  // namespace moat::programs
