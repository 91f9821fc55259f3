// The board of a rank: what it is doing, in a small memory-mapped file that others read out of
// band.
//
// The rank writes it with plain stores (no call into the kernel, nothing that can wait), the
// supervisor on the same node reads it at any moment, also when the rank hangs or is gone. Times
// are core::MonotonicSeconds() of the node.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/signals.h"

namespace moat::rundir {

enum class Phase : uint32_t { kStarting, kLoading, kStep, kEvaluating, kSaving, kFinishing };
inline constexpr size_t kPhases = 6;

const char* Name(Phase phase);  // "starting", ...

struct BoardMemory;  // what lies in the file

class BoardWriter {
 public:
  // Makes the file, which says that this rank listens for requests to stop from now on, and shows
  // how many `stop` (may be null, else it outlives the writer) has heard. Throws StorageError.
  explicit BoardWriter(const std::filesystem::path& path, core::StopRequest* stop = nullptr);
  ~BoardWriter();  // the file stays: it tells how the rank ended
  BoardWriter(const BoardWriter&) = delete;

  // One thread at a time. A phase lasts until the next one is entered, also of the same kind.
  void EnterPhase(Phase phase, int64_t step);
  // A save is committed, so many seconds after it began. What kSaving may take is learned from this
  // alone: a save goes on beside training, and only the next one waits for it. By one rank for all.
  void SaveTook(double seconds);

  // A group whose collectives are shown under `name`, cut after 15 bytes. Returns its number, or -1
  // when there is no room for another. Not while another thread does the same.
  int AddGroup(const std::string& name);
  // The group's collective number `sequence` begins: "all_reduce" of `count` elements. One thread
  // at a time per group. Nothing for group -1.
  void EnterCollective(int group, const char* call, int64_t count, uint64_t sequence);
  void LeaveCollective(int group);

 private:
  double WaitedInCollectives() const;
  void EndPhase(double now);
  void Learn(Phase phase, double seconds);

  struct Recent {  // of one kind of phase: the longest of so many, and of so many before them
    int count = 0;
    double longest = 0;
    double before = 0;
  };
  BoardMemory* memory_;
  core::StopRequest* stop_;
  int groups_ = 0;
  std::array<Recent, kPhases> recent_;
  double waited_ = 0;  // in collectives, when the phase began
};

// A group's last collective.
struct BoardGroup {
  std::string name;   // "data"
  std::string call;   // "all_reduce", "" before the first
  int64_t count = 0;  // its elements
  uint64_t sequence = 0;
  bool inside = false;
  double changed_at = 0;     // when it was entered or left
  std::string text() const;  // "data all_reduce(4096) 345"
};

struct BoardSnapshot {
  Phase phase = Phase::kStarting;
  int64_t step = 0;  // done
  int64_t pid = 0;
  std::string host;
  uint64_t phases = 0;                    // entered so far
  double phase_began = 0;                 // time
  std::array<double, kPhases> longest{};  // seconds of the slowest recent phase; 0: none ended yet
  uint64_t steps = 0;                     // phases of kind kStep that have ended
  double busy_seconds = 0;                // in those, outside of collectives
  uint32_t requests = 0;                  // to stop, heard by the rank
  std::vector<BoardGroup> groups;

  bool inside_collective() const;
  std::string text() const;  // "step, step 12, in data all_reduce(4096) 345"
};

// nullopt: there is no board, it is not one, or it is changing all the time.
std::optional<BoardSnapshot> ReadBoard(const std::filesystem::path& path);

}  // namespace moat::rundir
