// Durable files: replaced whole, errors that name the path.
#include "core/durable_file.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/support/temporary_directory.h"

namespace moat::core {
namespace {

TEST(DurableFile, AtomicWriteReplacesAndLeavesNothingElse) {
  const testing::TemporaryDirectory dir;
  WriteFileAtomically(dir / "a", "one");
  WriteFileAtomically(dir / "a", "two");
  EXPECT_EQ(ReadWholeFile(dir / "a"), "two");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path())) ++files, (void)entry;
  EXPECT_EQ(files, 1);
}

TEST(DurableFile, FullDiskIsAStorageErrorThatNamesThePath) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  FileWriter writer("/dev/full");
  try {
    writer.Write("x");
    FAIL() << "a write to a full disk passed";
  } catch (const StorageError& error) {
    EXPECT_NE(std::string(error.what()).find("/dev/full"), std::string::npos);
    EXPECT_NE(std::string(error.what()).find("free some space"), std::string::npos);
  }
}

TEST(DurableFile, ShortFileSaysHowManyBytesThereWere) {
  const testing::TemporaryDirectory dir;
  WriteFileAtomically(dir / "a", "12345");
  const FileReader reader(dir / "a");
  char bytes[8];
  try {
    reader.ReadAt(2, bytes, 8);
    FAIL() << "read past the end";
  } catch (const StorageError& error) {
    EXPECT_NE(std::string(error.what()).find("found 3"), std::string::npos) << error.what();
  }
}

TEST(DurableFile, MissingFileAndDirectoryInTheWayAreNamed) {
  const testing::TemporaryDirectory dir;
  EXPECT_THROW(FileReader(dir / "absent"), StorageError);
  EXPECT_THROW(FileReader{dir.path()}, StorageError);
  WriteFileAtomically(dir / "file", "");
  EXPECT_THROW(MakeDirectories(dir / "file"), StorageError);
}

}  // namespace
}  // namespace moat::core
