// Ranks of one node, as processes that share a memory segment. Internal to comm/: programs get one
// through MpiSession.
//
// Goals: reductions at memory speed (2 to 4 times MPI's own on one node), the bits of the reduction
// tree, waits with deadlines, nothing left behind by a killed run. Not goals: ranks of several
// nodes; progress while nobody is in the call.
//
// The segment holds one cache line of arrivals per rank, then per rank a slot of two halves. A
// buffer passes through in pieces that fit a half; pieces alternate between the halves. Every piece
// has at least one point where all ranks arrive, so that when a rank fills a half again, all peers
// have passed the piece between and are done with the half.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace moat::comm {

// A mapped, 64-byte aligned segment of /dev/shm. Unmaps in the destructor.
class SharedSegment {
 public:
  // Creates `name` and reserves its memory. Throws StorageError when there is no room.
  static SharedSegment Create(const std::string& name, size_t size);
  // Maps what another process created. Throws StorageError.
  static SharedSegment Open(const std::string& name, size_t size);
  // Takes the name away; mappings stay. A segment without a name ends with its last process.
  static void Unlink(const std::string& name);

  SharedSegment(SharedSegment&& other) noexcept;
  SharedSegment& operator=(SharedSegment&&) = delete;
  ~SharedSegment();
  char* data() const { return data_; }

 private:
  SharedSegment(char* data, size_t size) : data_(data), size_(size) {}
  char* data_;
  size_t size_;
};

// Makes a group of ranks given by their numbers in the world; collective over them.
using GroupMaker =
    std::function<std::unique_ptr<Communicator>(const std::string& name, std::vector<int> ranks)>;

// The segment size for a group. `piece_bytes` (a multiple of 64) is one half of a slot.
size_t SharedMemorySize(int ranks, int64_t piece_bytes);

// All ranks give the same zeroed segment of SharedMemorySize().
std::unique_ptr<Communicator> MakeSharedMemoryCommunicator(const std::string& name, int rank,
                                                           std::vector<Member> members,
                                                           SharedSegment segment,
                                                           int64_t piece_bytes, GroupMaker make);

}  // namespace moat::comm
