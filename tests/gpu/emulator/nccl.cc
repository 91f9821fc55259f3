// The emulated NCCL: messages over MPI between processes that have an emulated device each.
//
// What is given to a stream is done at once, after all that the stream holds: a device would go on
// by itself, where an emulated stream works only when its own process waits for it. Connecting is
// in progress until all have come. What a test makes stick (NcclFaults) is never sent. Sums are
// taken from the last rank to the first, which is not the order of moat's tree.
#include "tests/gpu/emulator/include/nccl.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "tests/gpu/emulator/memory.h"

struct ncclComm {
  int rank = 0, size = 1, tag = 0;
  std::vector<int> world;  // rank in MPI_COMM_WORLD of each rank; -1 until it is known
  std::vector<MPI_Request> pending;
  bool told = false;  // rank 0 has told the others
  int number = 0;     // in this process
  std::shared_ptr<std::atomic<bool>> aborted = std::make_shared<std::atomic<bool>>(false);
};

namespace {

using moat::emulator::nccl_faults;

constexpr int kFirstTag = 4096, kTagsOfARank = 1024;

struct Message {
  void* data;
  size_t bytes;
  int peer;
  bool send;
};

thread_local struct {
  bool open = false;
  std::vector<Message> messages;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
} group;

size_t SizeOf(ncclDataType_t type) { return type == ncclUint8 ? 1 : type == ncclFloat32 ? 4 : 8; }

int WorldRank() {
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

// Whether what is given to the stream now stays there until the communicator is aborted.
bool Sticks(ncclComm_t comm, cudaStream_t stream) {
  if (comm == nullptr) return false;  // an error, which the caller finds
  if (nccl_faults.sticks != comm->number && moat::emulator::WorkOff(stream)) return false;
  moat::emulator::Hold(stream, [aborted = comm->aborted] { return aborted->load(); });
  return true;
}

ncclResult_t Deliver(const std::vector<Message>& messages, ncclComm_t comm, cudaStream_t stream) {
  if (comm == nullptr) return ncclInvalidArgument;
  if (cudaStreamSynchronize(stream) != cudaSuccess) return ncclUnhandledCudaError;
  const moat::emulator::DeviceWorks works;
  std::vector<MPI_Request> requests(messages.size());
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& m = messages[i];
    const int peer = comm->world[static_cast<size_t>(m.peer)], bytes = static_cast<int>(m.bytes);
    if (m.send) {
      MPI_Isend(m.data, bytes, MPI_BYTE, peer, comm->tag, MPI_COMM_WORLD, &requests[i]);
    } else {
      MPI_Irecv(m.data, bytes, MPI_BYTE, peer, comm->tag, MPI_COMM_WORLD, &requests[i]);
    }
  }
  MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE);
  return ncclSuccess;
}

// Rank r's `bytes` from `from` + r's part for this rank come to `to` + r x bytes. `stride`: between
// parts of `from`; 0: everybody gets the same.
ncclResult_t Exchange(const void* from, size_t stride, size_t bytes, char* to, ncclComm_t comm,
                      cudaStream_t stream) {
  std::vector<Message> messages;
  for (int r = 0; r < comm->size; ++r) {
    char* const part =
        const_cast<char*>(static_cast<const char*>(from)) + static_cast<size_t>(r) * stride;
    messages.push_back({part, bytes, r, true});
    messages.push_back({to + static_cast<size_t>(r) * bytes, bytes, r, false});
  }
  return Deliver(messages, comm, stream);
}

template <typename T>
void Reduce(const std::vector<char>& all, size_t count, ncclRedOp_t op, int size, void* to) {
  const T* const values = reinterpret_cast<const T*>(all.data());
  for (size_t i = 0; i < count; ++i) {
    T result = values[static_cast<size_t>(size - 1) * count + i];
    for (int r = size - 2; r >= 0; --r) {
      const T value = values[static_cast<size_t>(r) * count + i];
      result = op == ncclSum   ? result + value
               : op == ncclMax ? std::max(result, value)
                               : std::min(result, value);
    }
    std::memcpy(static_cast<T*>(to) + i, &result, sizeof(T));
  }
}

ncclResult_t ReduceFrom(const void* from, size_t stride, void* to, size_t count,
                        ncclDataType_t type, ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  if (Sticks(comm, stream)) return ncclSuccess;
  const size_t bytes = count * SizeOf(type);
  std::vector<char> all(bytes * static_cast<size_t>(comm->size));
  const ncclResult_t result = Exchange(from, stride, bytes, all.data(), comm, stream);
  const moat::emulator::DeviceWorks works;
  switch (type) {
    case ncclFloat32:
      Reduce<float>(all, count, op, comm->size, to);
      break;
    case ncclFloat64:
      Reduce<double>(all, count, op, comm->size, to);
      break;
    case ncclUint64:
      Reduce<uint64_t>(all, count, op, comm->size, to);
      break;
    case ncclInt64:
      Reduce<int64_t>(all, count, op, comm->size, to);
      break;
    default:
      return ncclInvalidArgument;
  }
  return result;
}

ncclResult_t Add(const Message& message, ncclComm_t comm, cudaStream_t stream) {
  if (!group.open) {
    return Sticks(comm, stream) ? ncclSuccess : Deliver({message}, comm, stream);
  }
  group.messages.push_back(message);
  group.comm = comm;
  group.stream = stream;
  return ncclSuccess;
}

}  // namespace

ncclResult_t ncclGetVersion(int* version) {
  *version = 22809;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited or there was a network error"
                                   : "an error of the emulator";
}

const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static int made = 0;
  const int root = WorldRank();
  const int words[2] = {root, kFirstTag + root * kTagsOfARank + made++ % kTagsOfARank};
  std::memcpy(id->internal, words, sizeof words);
  return ncclSuccess;
}

// The others tell rank 0 where they are, and are told where all are.
ncclResult_t ncclCommInitRankConfig(ncclComm_t* out, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (config->blocking != 0) return ncclInvalidUsage;
  int words[2];
  std::memcpy(words, id.internal, sizeof words);
  ncclComm& comm = *(*out = new ncclComm);
  comm.rank = rank;
  comm.size = size;
  comm.tag = words[1];
  comm.number = ++nccl_faults.connecting;
  comm.world.assign(static_cast<size_t>(size), -1);
  if (nccl_faults.never_connects) return ncclInProgress;
  const int root = words[0], tag = comm.tag;
  std::vector<int>& world = comm.world;
  if (rank == 0) {
    world[0] = root;
    for (int r = 1; r < size; ++r) {
      MPI_Irecv(&world[static_cast<size_t>(r)], 1, MPI_INT, MPI_ANY_SOURCE, tag + (r << 16),
                MPI_COMM_WORLD, &comm.pending.emplace_back());
    }
  } else {
    int mine = WorldRank();
    MPI_Send(&mine, 1, MPI_INT, root, tag + (rank << 16), MPI_COMM_WORLD);  // small: at once
    MPI_Irecv(world.data(), size, MPI_INT, root, tag, MPI_COMM_WORLD, &comm.pending.emplace_back());
  }
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  if (comm == nullptr) return ncclInvalidArgument;
  *state = ncclInProgress;
  if (nccl_faults.never_connects) return ncclSuccess;
  int done = 0;
  MPI_Testall(static_cast<int>(comm->pending.size()), comm->pending.data(), &done,
              MPI_STATUSES_IGNORE);
  if (done == 0) return ncclSuccess;
  for (int r = 1; r < comm->size && comm->rank == 0 && !comm->told; ++r) {
    MPI_Send(comm->world.data(), comm->size, MPI_INT, comm->world[static_cast<size_t>(r)],
             comm->tag, MPI_COMM_WORLD);
  }
  comm->told = true;
  *state = nccl_faults.asynchronous;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  while (nccl_faults.abort_hangs) pause();
  for (MPI_Request& request : comm->pending) {
    if (request == MPI_REQUEST_NULL) continue;
    MPI_Cancel(&request);
    MPI_Request_free(&request);
  }
  *comm->aborted = true;
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return ReduceFrom(from, 0, to, count, type, op, comm, stream);
}

ncclResult_t ncclReduceScatter(const void* from, void* to, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream) {
  return ReduceFrom(from, count * SizeOf(type), to, count, type, op, comm, stream);
}

ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  if (Sticks(comm, stream)) return ncclSuccess;
  const size_t bytes = count * SizeOf(type);
  std::vector<char> all(bytes * static_cast<size_t>(comm->size));
  const ncclResult_t result = Exchange(from, 0, bytes, all.data(), comm, stream);
  const moat::emulator::DeviceWorks works;
  std::memcpy(to, all.data(), all.size());
  return result;
}

ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  if (Sticks(comm, stream)) return ncclSuccess;
  std::vector<Message> messages;
  const size_t bytes = count * SizeOf(type);
  if (comm->rank != root) messages.push_back({to, bytes, root, false});
  for (int r = 0; r < comm->size && comm->rank == root; ++r) {
    if (r != root) messages.push_back({const_cast<void*>(from), bytes, r, true});
  }
  return Deliver(messages, comm, stream);
}

ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return Add({const_cast<void*>(from), count * SizeOf(type), peer, true}, comm, stream);
}

ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return Add({to, count * SizeOf(type), peer, false}, comm, stream);
}

ncclResult_t ncclGroupStart() {
  group.open = true;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  group.open = false;
  if (group.messages.empty()) return ncclSuccess;
  if (Sticks(group.comm, group.stream)) {
    group.messages.clear();
    return ncclSuccess;
  }
  return Deliver(std::exchange(group.messages, {}), group.comm, group.stream);
}
