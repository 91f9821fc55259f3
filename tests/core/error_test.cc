// Typed errors become documented exit codes.
#include "core/error.h"

#include <gtest/gtest.h>

#include <new>

namespace moat::core {
namespace {

TEST(RunMain, TurnsEachErrorIntoItsDocumentedExitCode) {
  EXPECT_EQ(RunMain([] { return 0; }), 0);
  EXPECT_EQ(RunMain([]() -> int { throw ConfigError("x"); }), 2);
  EXPECT_EQ(RunMain([]() -> int { throw DataError("x"); }), 65);
  EXPECT_EQ(RunMain([]() -> int { throw BugError("x"); }), 70);
  EXPECT_EQ(RunMain([]() -> int { throw std::bad_alloc(); }), 71);
  EXPECT_EQ(RunMain([]() -> int { throw StorageError("x"); }), 74);
  EXPECT_EQ(RunMain([]() -> int { throw PeerError("x"); }), 76);
  EXPECT_EQ(RunMain([]() -> int { throw NumericsError("x"); }), 79);
  EXPECT_EQ(RunMain([]() -> int { throw std::runtime_error("x"); }), 70);
}

TEST(RunMain, TellsTheListenerFirst) {
  std::string heard;
  RunMain(
      []() -> int { throw DataError("row 7"); },
      [&](ExitCode code, const std::string& what) { heard = ExitCodeName(code) + (": " + what); });
  EXPECT_EQ(heard, "data: row 7");
}

TEST(Check, NamesThePlaceOfTheBug) {
  try {
    MOAT_CHECK(1 + 1 == 3, "arithmetic");
    FAIL();
  } catch (const BugError& error) {
    EXPECT_NE(std::string(error.what()).find("error_test.cc"), std::string::npos);
  }
}

}  // namespace
}  // namespace moat::core
