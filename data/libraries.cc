// Versions of the libraries of shards and tokenizers.
#include "data/libraries.h"

#include <hdf5.h>

namespace moat::data {

std::map<std::string, std::string> LibraryVersions() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  return {
      {"HDF5", std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(release)},
      {"SentencePiece", MOAT_SENTENCEPIECE_VERSION}};
}

}  // namespace moat::data
