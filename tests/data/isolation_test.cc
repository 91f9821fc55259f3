// A check in a process of its own: whatever its end, it is told, and only damage is called damage.
#include "data/isolation.h"

#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>

#include "core/error.h"

namespace moat::data {
namespace {

TEST(Isolation, SaysWhatTheCheckFound) {
  EXPECT_EQ("", ProblemInChild([] {}));
  EXPECT_EQ("row 7 is odd", ProblemInChild([] { throw core::DataError("row 7 is odd"); }));
}

TEST(Isolation, ACrashIsDamageAndNamesItsSignal) {
  EXPECT_EQ("HDF5 crashed on it (signal 11): its structure is damaged",
            ProblemInChild([] { std::raise(SIGSEGV); }));
  EXPECT_EQ("HDF5 did not come to an end on it", ProblemInChild([] { std::raise(SIGALRM); }));
}

TEST(Isolation, AProcessThatSomebodyKillsSaysNothingAboutTheBytes) {
  EXPECT_THROW(ProblemInChild([] { std::raise(SIGKILL); }), core::OutOfMemoryError);
}

TEST(Isolation, AnEndWithoutAWordIsNotCalledDamage) {
  EXPECT_EQ("the check ended with code 5 and said nothing", ProblemInChild([] { _Exit(5); }));
}

}  // namespace
}  // namespace moat::data
