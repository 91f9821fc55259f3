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
    throw core::StorageError(text);
  }
};

}  // namespace moat::checkpoint
