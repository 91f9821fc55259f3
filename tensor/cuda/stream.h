// A CUDA stream with what its kernels need: a queue, a cuBLASLt handle, workspace, plans of matrix
// products.
#pragma once

#include <map>
#include <memory>

#include "tensor/cuda/handle.h"
#include "tensor/cuda/matmul_plan.h"
#include "tensor/device.h"
#include "tensor/stream.h"

namespace moat::tensor::cuda {

// What cuBLASLt asks for on Hopper; sums of partial gradients use it too.
inline constexpr size_t kWorkspaceBytes = size_t{32} << 20;

class CudaStream : public DeviceStream {
 public:
  explicit CudaStream(int index);
  ~CudaStream() override;
  CudaStream(const CudaStream&) = delete;

  bool Done() override;
  void Synchronize() override;

  int index() const { return index_; }
  cudaStream_t get() const { return stream_.get(); }
  cublasLtHandle_t blas() const { return blas_.get(); }
  // Scratch memory of the work that is running: what uses it leaves nothing in it.
  void* workspace() const { return workspace_.get(); }
  // The plan of a product, made the first time it is asked for.
  const MatmulPlan& PlanOf(const MatmulShape& shape);

 private:
  int index_;
  StreamHandle stream_;
  BlasHandle blas_;
  MemoryHandle workspace_;
  std::map<MatmulShape, MatmulPlan> plans_;
};

// The CUDA side of a stream. REQUIRES: a CUDA stream.
inline CudaStream& Of(const Stream& stream) { return static_cast<CudaStream&>(*stream.queue()); }

std::unique_ptr<DeviceStream> MakeStream(int index);
std::unique_ptr<DeviceEvent> MakeEvent();

}  // namespace moat::tensor::cuda
