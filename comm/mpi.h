// The MPI of this process, and communicators over it for host memory.
//
// A group whose ranks all live on one node (MPI_COMM_TYPE_SHARED) works through shared memory
// (comm/shared_memory.h); every other group, also one with several ranks on each of several nodes,
// works through messages for all its pairs (comm/mpi_network.h). The environment variable
// MOAT_COMM_PATH=shm|network overrides that, for tests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "core/error.h"

namespace moat::comm {

enum class MpiPath { kAuto, kSharedMemory, kNetwork };

struct MpiOptions {
  double deadline_seconds = kDefaultDeadlineSeconds;
  MpiPath path = MpiPath::kAuto;  // kAuto: MOAT_COMM_PATH decides, else where the ranks live
  // Collectives move through memory or network in pieces of this size; a shared-memory group holds
  // two per rank. A multiple of 64. Bits never depend on it.
  int64_t piece_bytes = 1 << 20;
};

// From MPI_Init_thread (funneled: this thread alone calls MPI) to MPI_Finalize. One per process,
// and it outlives its communicators' last call.
//
// The destructor meets the other ranks, under the deadline, and finalizes. While an exception is
// passing it does neither: finalizing would wait for ranks that wait for this one. The process then
// ends with its own exit code and mpirun or srun ends the others.
class MpiSession {
 public:
  // Throws ConfigError where a launcher of another MPI started this process, alone among many.
  MpiSession(int* argc, char*** argv, const MpiOptions& options = {});
  ~MpiSession();
  MpiSession(const MpiSession&) = delete;

  int rank() const;
  int size() const;
  int local_rank() const;  // among the ranks of this node
  int local_size() const;
  const std::string& host(int rank) const;

  // Collective over all ranks.
  std::unique_ptr<Communicator> World();
  // Collective over `ranks` (of the world, which hold this one), in the same order on each of them.
  // Throws PeerError when one does not come, StorageError when shared memory was asked for and is
  // not to be had (otherwise a warning is printed and messages are used).
  std::unique_ptr<Communicator> Group(const std::string& name, const std::vector<int>& ranks);
  // The same with a path of its own.
  std::unique_ptr<Communicator> Group(const std::string& name, const std::vector<int>& ranks,
                                      MpiPath path, int64_t piece_bytes);

  // Ends all ranks at once; for failures that leave no way to unwind. Launchers report `code` at
  // best.
  [[noreturn]] void Abort(core::ExitCode code);

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace moat::comm
