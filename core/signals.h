// Requests to stop, as a process of a run hears them: a first signal asks, a second one insists.
//
//   const core::StopRequest stop;        // in main's thread, before others start
//   if (stop.requested()) { save; return stop.exit_code(); }
//
// TERM, USR1 and USR2 (a scheduler, or the supervisor of a run) mean 75: preempted, come back. INT
// (Ctrl-C) means 78: stopped on purpose. A second signal of any of them ends the process at once
// with 128 + its number; what was committed before stays. The decision to stop is taken together by
// all ranks at a step boundary, never in the handler.
#pragma once

#include <atomic>
#include <cstdint>

namespace moat::core {

// What a second signal does. A rank that is supervised only counts it: where a scheduler signals
// every process of a job, it hears one request from the scheduler, from mpirun and from the
// supervisor, and who insists is the supervisor, by killing.
enum class SecondSignal { kEndsTheProcess, kIsCounted };

class StopRequest {
 public:
  // Installs the handlers. REQUIRES: no other StopRequest lives.
  explicit StopRequest(SecondSignal second = SecondSignal::kEndsTheProcess);
  ~StopRequest();  // puts the previous handlers back, and forgets the request
  StopRequest(const StopRequest&) = delete;

  // Every signal heard, also before this call, is counted in `count` (from 0), which others may
  // watch. It must stay until this object goes or is given nullptr.
  void CountIn(std::atomic<uint32_t>* count);

  bool requested() const { return signal() != 0; }
  int signal() const;     // the first signal's number, 0 while there was none
  int exit_code() const;  // 75 or 78, 0 while there was none
};

}  // namespace moat::core
