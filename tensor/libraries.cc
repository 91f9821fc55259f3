// Versions of the libraries that compute.
#include "tensor/libraries.h"

#include <dnnl.h>

namespace moat::tensor {

std::map<std::string, std::string> LibraryVersions() {
  const dnnl_version_t* const version = dnnl_version();
  return {{"oneDNN", std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
                         std::to_string(version->patch)}};
}

}  // namespace moat::tensor
