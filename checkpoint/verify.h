// Verifying a checkpoint for people: all of it, with every damage, in several threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace moat::checkpoint {

struct Damage {
  std::string file;    // a name in the directory
  std::string tensor;  // "": of the file as a whole, or of its header
  std::string slice;   // of the tensor
  std::string what;    // a sentence that names all of the above
};

struct Verification {
  int64_t step = 0;
  int64_t tensors = 0;
  int64_t files = 0;
  int64_t bytes = 0;  // that the manifest lists
  std::vector<Damage> damages;
  bool ok() const { return damages.empty(); }
};

// Told after each stretch of at most 1 MiB how many bytes are checked, and of how many; calls do
// not overlap.
using VerifyProgress = std::function<void(int64_t done, int64_t all)>;

// Reads every byte of every file with `threads` threads, and goes on past damage. A manifest that
// is absent or damaged is the only damage then, with its name as the file.
Verification VerifyAll(const std::filesystem::path& directory, int threads,
                       const VerifyProgress& progress = nullptr);

}  // namespace moat::checkpoint
