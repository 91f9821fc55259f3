// BoxReader: boxes of a saved tensor, straight from the pieces that hold them, in little memory
// however large the tensor and its pieces are. Internal to checkpoint/.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/manifest/manifest.h"
#include "core/durable_file.h"

namespace moat::checkpoint {

// Cuts `common` into stretches: boxes of which any of `pieces`, each of which holds `common`, keeps
// its share in one run of at most about `largest` elements (a row of the last dim is never cut
// where a piece's row is longer). Calls `use` with each, in row-major order.
void ForEachStretch(const parallel::Slice& common,
                    const std::vector<const parallel::Slice*>& pieces, int64_t largest,
                    const std::function<void(const parallel::Slice&)>& use);

class BoxReader {
 public:
  // Both outlive this.
  BoxReader(const std::filesystem::path& directory, const Manifest& manifest)
      : directory_(directory), manifest_(manifest) {}

  // Checks the CRCs of all pieces of a tensor, and of the headers of their files, at the first use.
  // Throws DataError naming file and tensor.
  void Check(const std::string& tensor);

  // The elements of `stretch`, row-major. REQUIRES: it comes from ForEachStretch with `piece`, and
  // the piece's tensor was checked.
  std::vector<char> Read(const Piece& piece, core::DType dtype, const parallel::Slice& stretch);

 private:
  const std::filesystem::path& directory_;
  const Manifest& manifest_;
  std::map<std::string, core::FileReader> open_;
};

}  // namespace moat::checkpoint
