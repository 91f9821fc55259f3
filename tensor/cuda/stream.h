// A CUDA stream with what its kernels need: a queue, workspace, and what products keep.
#pragma once

#include <memory>

#include "tensor/cuda/handle.h"
#include "tensor/device.h"
#include "tensor/product_tuner.h"
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
  // Scratch memory of the work that is running: what uses it leaves nothing in it.
  void* workspace() const { return workspace_.get(); }
  // What matrix products keep with a stream (tensor/cuda/matmul.cc), made when first asked for.
  ProductTuner* product_tuner() override;

 private:
  int index_;
  StreamHandle stream_;
  MemoryHandle workspace_;
  std::unique_ptr<ProductTuner> products_;
};

// The CUDA side of a stream. REQUIRES: a CUDA stream.
inline CudaStream& Of(const Stream& stream) { return static_cast<CudaStream&>(*stream.queue()); }

// For one stream's products: tensor/cuda/matmul.cc.
std::unique_ptr<ProductTuner> MakeProducts(CudaStream& stream);

std::unique_ptr<DeviceStream> MakeStream(int index);
std::unique_ptr<DeviceEvent> MakeEvent();

}  // namespace moat::tensor::cuda
