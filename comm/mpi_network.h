// Ranks of any nodes, over MPI messages. Internal to comm/ (it includes mpi.h): programs get one
// through MpiSession.
//
// Every collective begins with an exchange of calls between all pairs of ranks (16 bytes each), so
// that a missing rank is known by name at once and a mix-up is an error. Sums in tree order are a
// direct all-to-all of blocks in pieces, each block summed by its owner in the order of
// comm/reduction_tree.h, then gathered; Order::kAny leaves them to MPI_Iallreduce. Waiting polls
// MPI_Test, under the deadline. Cost of the exchange: size-1 small messages per rank, fine for
// hundreds of ranks, not for tens of thousands.
#pragma once

#include <mpi.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"
#include "comm/shared_memory.h"

namespace moat::comm {

// Throws PeerError with MPI's text when `code` is not MPI_SUCCESS.
void CheckMpi(int code, const char* action);

// Non-blocking messages in flight. Those still open when it goes out of scope (a deadline passed)
// are cancelled and let go without waiting.
class MpiMessages {
 public:
  explicit MpiMessages(MPI_Comm comm) : comm_(comm) {}
  MpiMessages(const MpiMessages&) = delete;
  ~MpiMessages();
  void Send(const void* data, int64_t bytes, int peer, int tag);
  void Receive(void* data, int64_t bytes, int peer, int tag);
  void Add(MPI_Request request, int peer, bool receives);
  void Wait(const DeadlineKeeper& keeper);  // for all; names the peers of receives still open

 private:
  MPI_Comm comm_;
  std::vector<MPI_Request> requests_;
  std::vector<int> peers_;
  std::vector<bool> receives_;
};

// Everybody's words, in the order of `peers` (ranks of `comm`; `me` is the own place in it). The
// buffers are the caller's, because a peer's message may come long after a deadline has passed.
void ExchangeWords(MPI_Comm comm, const std::vector<int>& peers, int me, int tag,
                   const DeadlineKeeper& keeper, std::vector<Call::Words>* words);

// `comm` holds exactly the group's ranks, in order, and is owned by the session.
std::unique_ptr<Communicator> MakeNetworkCommunicator(const std::string& name, int rank,
                                                      std::vector<Member> members, MPI_Comm comm,
                                                      int64_t piece_bytes, GroupMaker make);

}  // namespace moat::comm
