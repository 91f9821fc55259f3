// RankOutcome: how one rank fared, as text that travels to the others. Internal to checkpoint/.
#pragma once

#include <string>

#include "comm/communicator.h"
#include "core/error.h"

namespace moat::checkpoint {

struct RankOutcome {
  core::ExitCode code = core::ExitCode::kOk;
  std::string text;  // a report, or the error's message

  // Runs `body`, which returns the report; what it throws becomes the outcome.
  template <typename Body>
  static RankOutcome Of(const Body& body) {
    try {
      return {core::ExitCode::kOk, body()};
    } catch (const core::BugError& error) {
      return {core::ExitCode::kBug, error.what()};
    } catch (const core::DataError& error) {
      return {core::ExitCode::kData, error.what()};
    } catch (const std::exception& error) {
      return {core::ExitCode::kStorage, error.what()};
    }
  }
  std::string ToText() const { return std::to_string(static_cast<int>(code)) + " " + text; }
  static RankOutcome FromText(const std::string& text) {
    const size_t space = text.find(' ');
    return {static_cast<core::ExitCode>(std::stoi(text)), text.substr(space + 1)};
  }
  bool ok() const { return code == core::ExitCode::kOk; }
  [[noreturn]] void Throw() const {
    if (code == core::ExitCode::kBug) throw core::BugError(text);
    if (code == core::ExitCode::kData) throw core::DataError(text);
    throw core::StorageError(text);
  }
};

// Collective: the first failed rank's, the same on all ranks.
inline RankOutcome FirstFailure(comm::Communicator& world, const RankOutcome& mine) {
  for (const std::string& text : world.AllGatherText(mine.ToText())) {
    RankOutcome outcome = RankOutcome::FromText(text);
    if (!outcome.ok()) return outcome;
  }
  return {};
}

// Collective: throws what the first rank that failed says, on all ranks alike.
inline void AgreeThatAllDid(comm::Communicator& world, const RankOutcome& mine) {
  const RankOutcome failure = FirstFailure(world, mine);
  if (!failure.ok()) failure.Throw();
}

}  // namespace moat::checkpoint
