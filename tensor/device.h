// What a kind of device does for tensors, streams and ops: one table per kind, chosen by the
// linker.
//
// The CPU's is always there. CUDA's is tensor/cuda/, or tensor/no_cuda.cc in a build without it;
// nothing else knows which.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/device_kind.h"
#include "core/dtype.h"
#include "core/units.h"

namespace moat::tensor {

struct KernelTable;
class ProductTuner;
class Stream;

// A device's side of a Stream (tensor/stream.h). The CPU, which runs everything inline, has none.
class DeviceStream {
 public:
  virtual ~DeviceStream() = default;
  virtual bool Done() = 0;         // all work given to it is done
  virtual void Synchronize() = 0;  // returns when it is
  // Lent (tensor/product_tuner.h); null where there is nothing to choose.
  virtual ProductTuner* product_tuner() { return nullptr; }
};

// A device's side of an Event (tensor/event.h).
class DeviceEvent {
 public:
  virtual ~DeviceEvent() = default;
  virtual void Record(Stream& stream) = 0;
  virtual void Wait(Stream& stream) = 0;
  virtual bool Done() = 0;
  virtual void Synchronize() = 0;
  virtual double SecondsSince(const DeviceEvent& earlier) = 0;
};

// What a device says of itself.
struct DeviceDescription {
  std::string name;
  std::string id;            // the same one in every process that sees this device
  int major = 0, minor = 0;  // compute capability
};

struct DeviceTable {
  // Devices there are; 0 where there is none.
  int (*count)();
  // REQUIRES: 0 <= index < count(). Takes no memory of the device.
  DeviceDescription (*describe)(int index);
  // Of the calling thread's device. The CPU has no limit that would be known beforehand.
  core::Bytes (*free_memory)();
  // Zeroed memory of the calling thread's device, aligned to 64 bytes at least. Throws
  // OutOfMemoryError with the size asked for. REQUIRES: bytes > 0.
  void* (*allocate)(core::Bytes bytes);
  void (*free)(void* memory);
  // Host memory that this device copies from and to at its best, aligned to 64 bytes at least, with
  // anything in it. Throws OutOfMemoryError. REQUIRES: bytes > 0. No copy of it may be under way
  // when it is freed.
  void* (*allocate_host)(core::Bytes bytes);
  void (*free_host)(void* memory);
  // Ordered on the stream. Of a copy, either end may be host memory.
  void (*copy)(const void* from, void* to, core::Bytes bytes, const Stream& stream);
  void (*zero)(void* memory, core::Bytes bytes, const Stream& stream);
  std::unique_ptr<DeviceStream> (*make_stream)(int index);
  std::unique_ptr<DeviceEvent> (*make_event)();
  // Throws ConfigError for a dtype this device does not compute in.
  const KernelTable& (*kernels)(core::DType dtype);
};

const DeviceTable& CpuDevice();
// Of a build without CUDA every entry but count throws ConfigError, which says what to do.
const DeviceTable& CudaDevice();

inline const DeviceTable& DeviceOf(core::DeviceKind kind) {
  return kind == core::DeviceKind::kCpu ? CpuDevice() : CudaDevice();
}

// What there is of CUDA, for people (moat doctor). Never throws: what fails is in `problem`.
struct CudaReport {
  struct Device {
    std::string name;
    core::Bytes memory;
    core::Bytes free_memory;
    int major = 0, minor = 0;  // compute capability
  };
  bool built = false;    // this program has the CUDA backend
  std::string problem;   // why no device can be used; "" when one can
  int driver = 0;        // 13000: the driver takes programs up to CUDA 13.0; 0: none
  int runtime = 0;       // of this build
  int64_t cublaslt = 0;  // cuBLASLt's version, as it says itself
  int64_t cudnn = 0;     // cuDNN's, or 0 where there is none
  std::vector<Device> devices;
};
CudaReport LookAtCuda();

}  // namespace moat::tensor
