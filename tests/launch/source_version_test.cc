// Which sources a program was built from.
#include "launch/source_version.h"

#include <gtest/gtest.h>

#include "core/durable_file.h"
#include "tests/support/temporary_directory.h"

namespace moat::launch {
namespace {

TEST(SourceVersion, OfAnInstalledTreeIsTheCommitItBringsAlong) {
  const testing::TemporaryDirectory directory;
  core::MakeDirectories(directory / "bin");
  EXPECT_EQ(SourceVersion(directory / "bin"), "") << "no work tree is around it";
  core::MakeDirectories(directory / "share" / "moat");
  core::WriteFileAtomically(directory / "share" / "moat" / "commit", "0123abc\n");
  EXPECT_EQ(SourceVersion(directory / "bin"), "0123abc");
}

}  // namespace
}  // namespace moat::launch
