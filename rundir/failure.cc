// Failure files and results.
#include "rundir/failure.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "core/durable_file.h"
#include "rundir/attempt.h"

namespace moat::rundir {
namespace {

namespace fs = std::filesystem;

std::optional<Failure> ReadFailure(const fs::path& path) {
  try {
    const auto json = nlohmann::json::parse(core::ReadWholeFile(path));
    Failure failure{
        json.at("rank"), json.at("host"), static_cast<core::ExitCode>(json.at("code").get<int>()),
        json.at("what"), json.at("step"), json.at("time_us"),
        std::nullopt};
    if (json.contains("failed")) {
      failure.failed = core::FailedRank{json["failed"].at("rank"), json["failed"].at("host")};
    }
    return failure;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace

bool WriteFailure(const RunLayout& layout, int attempt, const Failure& failure) noexcept {
  try {
    nlohmann::ordered_json json = {{"rank", failure.rank},
                                   {"host", failure.host},
                                   {"code", static_cast<int>(failure.code)},
                                   {"class", core::ExitCodeName(failure.code)},
                                   {"what", failure.what},
                                   {"step", failure.step},
                                   {"time_us", failure.time_us}};
    if (failure.failed) {
      json["failed"] = {{"rank", failure.failed->rank}, {"host", failure.failed->host}};
    }
    core::MakeDirectories(layout.logs(attempt));
    core::WriteFileAtomically(
        layout.failure(attempt, failure.rank),
        json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
    return true;
  } catch (...) {
    return false;
  }
}

std::vector<Failure> ReadFailures(const RunLayout& layout, int attempt) {
  std::vector<Failure> failures;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(layout.logs(attempt), ignored)) {
    if (!entry.path().filename().string().starts_with("failure-")) continue;
    if (auto failure = ReadFailure(entry.path())) failures.push_back(std::move(*failure));
  }
  const auto order = [](const Failure& f) {
    return std::make_tuple(f.code == core::ExitCode::kPeer, f.time_us, f.rank);
  };
  std::sort(failures.begin(), failures.end(),
            [&](const Failure& a, const Failure& b) { return order(a) < order(b); });
  return failures;
}

int OrderlyExit(core::ExitCode code) {
  return AttemptFromEnvironment() ? 0 : static_cast<int>(code);
}

void WriteResult(const RunLayout& layout, int attempt, const Result& result) {
  const nlohmann::ordered_json json = {{"exit_code", static_cast<int>(result.code)},
                                       {"step", result.step}};
  core::MakeDirectories(layout.logs(attempt));
  core::WriteFileAtomically(layout.result(attempt), json.dump() + "\n");
}

std::optional<Result> ReadResult(const RunLayout& layout, int attempt) {
  try {
    if (!fs::exists(layout.result(attempt))) return std::nullopt;
    const auto json = nlohmann::json::parse(core::ReadWholeFile(layout.result(attempt)));
    return Result{static_cast<core::ExitCode>(json.at("exit_code").get<int>()), json.at("step")};
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

}  // namespace moat::rundir
