// Ten thousand flipped bits, over every byte of every file of a checkpoint: each is found and
// named.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "checkpoint/verify.h"
#include "comm/threads.h"
#include "core/durable_file.h"
#include "core/rng.h"
#include "tests/checkpoint/sample_state.h"
#include "tests/support/temporary_directory.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

// Flips one bit of a file, and back at its end.
class FlippedBit {
 public:
  FlippedBit(const fs::path& path, int64_t at, int bit)
      : fd_(open(path.c_str(), O_RDWR)), at_(at), bit_(bit) {
    Flip();
  }
  ~FlippedBit() {
    Flip();
    close(fd_);
  }
  FlippedBit(const FlippedBit&) = delete;

 private:
  void Flip() const {
    char byte = 0;
    ASSERT_EQ(pread(fd_, &byte, 1, at_), 1);
    byte = static_cast<char>(byte ^ (1 << bit_));
    ASSERT_EQ(pwrite(fd_, &byte, 1, at_), 1);
  }
  int fd_;
  int64_t at_;
  int bit_;
};

// The tensor that holds a byte of a file; "" where it is the header's, or the manifest's.
std::string TensorAt(const Manifest& manifest, const std::string& file, int64_t at) {
  for (const auto& [name, tensor] : manifest.tensors) {
    for (const Piece& piece : tensor.pieces) {
      if (piece.file == file && piece.offset <= at && at < piece.offset + piece.bytes) return name;
    }
  }
  return "";
}

TEST(BitFlips, TenThousandOverDataHeadersAndManifestAreAllFoundAndNamed) {
  testing::TemporaryDirectory root;
  comm::ThreadGroup::Run(3, [&](comm::Communicator& world) {
    const testing::SampleState state(100, world.rank(), 3);
    Save({root.path()}, testing::SamplePosition(100), state.ToSave(), world);
  });
  const fs::path directory = root / "step-00000100";
  const Manifest manifest = ReadManifest(directory);
  std::vector<std::pair<std::string, int64_t>> bytes;  // every byte there is
  for (const auto& entry : fs::directory_iterator(directory)) {
    const auto size = static_cast<int64_t>(entry.file_size());
    for (int64_t at = 0; at < size; ++at) bytes.push_back({entry.path().filename(), at});
  }
  ASSERT_TRUE(VerifyAll(directory, 1).ok());
  std::map<std::string, int> struck;
  for (uint64_t i = 0; i < 10000; ++i) {
    const uint64_t random = core::RandomBits(2026, i);
    const auto& [file, at] = bytes[random % bytes.size()];
    const FlippedBit flipped(directory / file, at, static_cast<int>(random >> 61));
    const std::string tensor = TensorAt(manifest, file, at);
    const std::vector<Damage> damages = VerifyAll(directory, 1).damages;
    ASSERT_EQ(damages.size(), 1u) << file << " byte " << at;
    ASSERT_EQ(damages[0].file, file) << at;
    ASSERT_EQ(damages[0].tensor, tensor) << file << " byte " << at;
    ASSERT_NE(damages[0].what.find(file), std::string::npos) << damages[0].what;
    ASSERT_NE(damages[0].what.find(tensor), std::string::npos) << damages[0].what;
    ++struck[file == kManifestName ? "manifest" : tensor.empty() ? "header" : "data"];
  }
  EXPECT_TRUE(VerifyAll(directory, 1).ok());
  for (const char* region : {"data", "header", "manifest"})
    EXPECT_GT(struck[region], 500) << region;
}

}  // namespace
}  // namespace moat::checkpoint
