// How fast the files of data sets are read.
#pragma once

#include <string>
#include <vector>

namespace moat::programs {

// 1e6 bytes a second, of up to 64 MiB of the data sets' shards from a place that `part` of `parts`
// picks, after the system was asked to forget them. 0 where there is too little to tell: less than
// 1 MiB. Throws StorageError with the path where a file cannot be read.
double MeasureDataRead(const std::vector<std::string>& data, int part, int parts);

}  // namespace moat::programs
