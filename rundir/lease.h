// lease.json: who runs in a run directory now. One holder at a time.
//
// The holder renews it; whoever finds it expired, or finds that the holder's process on this host
// is gone, takes it over. A holder is named by host, boot, pid and the start time of its process,
// so that a reused pid is not taken for it. Taking and letting go are serialised by flock on a file
// beside it, which the kernel releases when a process dies.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "rundir/layout.h"

namespace moat::rundir {

inline constexpr double kLeaseSeconds = 120;  // without a renewal; the holder renews every 10

struct LeaseHolder {
  std::string host;
  std::string boot;
  int64_t pid = 0;
  uint64_t process_start = 0;
  int64_t renewed_us = 0;  // wall clock
  bool SameProcess(const LeaseHolder& other) const;
  std::string text() const;  // "process 4711 on host node-3"
};

// nullopt: there is none, or it cannot be read as one.
std::optional<LeaseHolder> ReadLease(const RunLayout& layout);

// Whether the holder lives: on this host its process is there, on another the lease has not expired
// at `now_us`.
bool IsAlive(const LeaseHolder& holder, int64_t now_us);
bool IsHeld(const RunLayout& layout);

class Lease {
 public:
  // Throws ConfigError naming the holder when somebody else runs here.
  explicit Lease(const RunLayout& layout);
  ~Lease();  // lets go
  Lease(const Lease&) = delete;

  // Throws ConfigError naming the new holder when somebody took it over.
  void Renew();
  // A note for people when a lease was taken over from a dead holder, else "".
  const std::string& note() const { return note_; }

 private:
  RunLayout layout_;
  LeaseHolder self_;
  std::string note_;
};

}  // namespace moat::rundir
