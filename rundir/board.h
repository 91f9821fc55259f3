// The board of a rank: what it is doing, in a small memory-mapped file that others read out of
// band.
//
// The rank writes it with plain stores (no call into the kernel, nothing that can wait), the
// supervisor on the same node reads it at any moment, also when the rank hangs or is gone.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/signals.h"

namespace moat::rundir {

enum class Phase : uint32_t { kStarting, kLoading, kStep, kEvaluating, kSaving, kFinishing };

const char* Name(Phase phase);  // "starting", ...

struct BoardMemory;  // what lies in the file

class BoardWriter {
 public:
  // Makes the file, which says that this rank listens for requests to stop from now on, and shows
  // how many `stop` (may be null, else it outlives the writer) has heard. Throws StorageError.
  explicit BoardWriter(const std::filesystem::path& path, core::StopRequest* stop = nullptr);
  ~BoardWriter();  // the file stays: it tells how the rank ended
  BoardWriter(const BoardWriter&) = delete;

  // One thread at a time.
  void SetPhase(Phase phase);
  void SetStep(int64_t step);
  // The last collective begun: "data all-reduce", cut after 47 bytes, and its number in the group.
  void EnterCollective(const std::string& name, uint64_t sequence);
  void LeaveCollective();

 private:
  template <typename Change>
  void Update(const Change& change);
  BoardMemory* memory_;
  core::StopRequest* stop_;
};

struct BoardSnapshot {
  Phase phase = Phase::kStarting;
  int64_t step = 0;
  std::string collective;  // "" before the first
  uint64_t sequence = 0;
  bool inside_collective = false;
  uint32_t requests = 0;     // to stop, heard by the rank
  double changed_at = 0;     // core::MonotonicSeconds() of the node, when anything last changed
  std::string text() const;  // "step 12, in data all-reduce 345"
};

// nullopt: there is no board, it is not one, or it is changing all the time.
std::optional<BoardSnapshot> ReadBoard(const std::filesystem::path& path);

}  // namespace moat::rundir
