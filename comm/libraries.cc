// Versions of the libraries that move bytes.
#include "comm/libraries.h"

#include <mpi.h>

namespace moat::comm {

std::map<std::string, std::string> LibraryVersions() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = "";
  int length = 0;
  MPI_Get_library_version(text, &length);
  return {{"MPI", text}};
}

}  // namespace moat::comm
