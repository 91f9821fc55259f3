// How fast the disk that holds the runs takes a checkpoint, and gives it back.
#pragma once

#include <filesystem>

#include "core/units.h"

namespace moat::programs {

struct DiskRates {
  core::Bytes free;
  double write_mb = 0;      // 1e6 bytes a second, the fsync included
  double read_mb = 0;       // after the system was asked to forget the file
  double sync_seconds = 0;  // write and fsync of 4 KiB: the median of five
};

// Writes, syncs, reads back and compares 64 MiB in a file of its own in `folder`, which it takes
// away again, like a folder that it had to make. `rank` is for core/fault.h. Throws StorageError
// with the path.
DiskRates MeasureDisk(const std::filesystem::path& folder, int rank);

// Asks the system to drop what it has cached of a file. One that it keeps is read faster, not
// wrong.
void ForgetCached(const std::filesystem::path& path);

}  // namespace moat::programs
