// CUDA streams and events.
#include "tensor/cuda/stream.h"

#include <string>

#include "core/error.h"

namespace moat::tensor::cuda {
namespace {

class CudaEvent : public DeviceEvent {
 public:
  CudaEvent() { Check(cudaEventCreate(event_.out()), "cudaEventCreate"); }

  void Record(Stream& stream) override {
    Check(cudaEventRecord(event_.get(), Of(stream).get()), "cudaEventRecord");
  }
  void Wait(Stream& stream) override {
    Check(cudaStreamWaitEvent(Of(stream).get(), event_.get(), 0), "cudaStreamWaitEvent");
  }
  bool Done() override {
    const cudaError_t state = cudaEventQuery(event_.get());
    if (state == cudaErrorNotReady) return false;
    Check(state, "work before an event");
    return true;
  }
  void Synchronize() override { Check(cudaEventSynchronize(event_.get()), "work before an event"); }
  double SecondsSince(const DeviceEvent& earlier) override {
    Synchronize();
    float milliseconds = 0;
    Check(cudaEventElapsedTime(&milliseconds, static_cast<const CudaEvent&>(earlier).event_.get(),
                               event_.get()),
          "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) * 1e-3;
  }

 private:
  EventHandle event_;
};

}  // namespace

CudaStream::CudaStream(int index) : index_(index) {
  int count = 0;
  Check(cudaGetDeviceCount(&count), "looking for devices");
  if (index < 0 || index >= count) {
    throw core::ConfigError("there is no CUDA device " + std::to_string(index) +
                            ": this process sees " + std::to_string(count) +
                            "; start fewer ranks per node");
  }
  Check(cudaSetDevice(index), "cudaSetDevice");
  // Not ordered with the default stream: nothing of moat uses that one.
  Check(cudaStreamCreateWithFlags(stream_.out(), cudaStreamNonBlocking), "cudaStreamCreate");
  Check(cudaMalloc(workspace_.out(), kWorkspaceBytes), "workspace of a stream");
}

CudaStream::~CudaStream() { cudaStreamSynchronize(stream_.get()); }

bool CudaStream::Done() {
  const cudaError_t state = cudaStreamQuery(stream_.get());
  if (state == cudaErrorNotReady) return false;
  Check(state, "work of a stream");
  return true;
}

void CudaStream::Synchronize() { Check(cudaStreamSynchronize(stream_.get()), "work of a stream"); }

ProductTuner* CudaStream::product_tuner() {
  if (!products_) products_ = MakeProducts(*this);
  return products_.get();
}

std::unique_ptr<DeviceStream> MakeStream(int index) { return std::make_unique<CudaStream>(index); }
std::unique_ptr<DeviceEvent> MakeEvent() { return std::make_unique<CudaEvent>(); }

}  // namespace moat::tensor::cuda
