// The emulator's <nccl.h>: as much of NCCL as comm/nccl.cc and comm/nccl_link.cc use, between
// emulated devices of the processes of one MPI job (../nccl.cc).
#pragma once

#include <cstddef>

#include "tests/gpu/emulator/include/cuda_runtime.h"

enum ncclResult_t {
  ncclSuccess,
  ncclUnhandledCudaError,
  ncclSystemError,
  ncclInternalError,
  ncclInvalidArgument,
  ncclInvalidUsage,
  ncclRemoteError,
  ncclInProgress,
};
enum ncclDataType_t { ncclUint8, ncclFloat32, ncclFloat64, ncclUint64, ncclInt64 };
enum ncclRedOp_t { ncclSum, ncclMax, ncclMin };
using ncclComm_t = struct ncclComm*;
struct ncclUniqueId {
  char internal[128];
};
struct ncclConfig_t {
  int blocking;
};
#define NCCL_CONFIG_INITIALIZER \
  { 1 }

ncclResult_t ncclGetVersion(int* version);
const char* ncclGetErrorString(ncclResult_t result);
const char* ncclGetLastError(ncclComm_t comm);
ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config);
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state);
ncclResult_t ncclCommAbort(ncclComm_t comm);
ncclResult_t ncclAllReduce(const void* from, void* to, size_t count, ncclDataType_t type,
                           ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclReduceScatter(const void* from, void* to, size_t count, ncclDataType_t type,
                               ncclRedOp_t op, ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclAllGather(const void* from, void* to, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclBroadcast(const void* from, void* to, size_t count, ncclDataType_t type, int root,
                           ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclSend(const void* from, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclRecv(void* to, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);
ncclResult_t ncclGroupStart();
ncclResult_t ncclGroupEnd();

namespace moat::emulator {

// What goes wrong in this process, for tests.
struct NcclFaults {
  bool never_connects = false;
  bool abort_hangs = false;
  ncclResult_t asynchronous = ncclSuccess;  // of communicators that are connected
  // The work of this communicator, counting those that connect from 1, stays on its stream until
  // the communicator is aborted, as where a peer has died, and so does what follows there; 0: none.
  int sticks = 0;
  int connecting = 0;  // so many have begun to
};
inline NcclFaults nccl_faults;

}  // namespace moat::emulator
