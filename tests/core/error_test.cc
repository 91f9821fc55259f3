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
  for (const bool tells : {false, true}) {
    std::string heard;
    ::testing::internal::CaptureStderr();
    RunMain([]() -> int { throw DataError("row 7"); },
            [&](const Error& error) {
              heard = ExitCodeName(error.code()) + std::string(": ") + error.what();
              return tells;
            });
    EXPECT_EQ(heard, "data: row 7");
    // The cause is said once: here, unless the listener says it.
    EXPECT_EQ(::testing::internal::GetCapturedStderr(), tells ? "" : "moat: error: row 7\n");
  }
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
