// cuDNN's backend API, found at run time: a program starts without the library. Descriptors as
// values.
#pragma once

#include <cudnn_graph_v9.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace moat::tensor::cuda {

// The functions that are used, by name.
struct CudnnLibrary {
  decltype(&cudnnGetVersion) version;
  decltype(&cudnnGetLastErrorString) last_error;
  decltype(&cudnnCreate) create;
  decltype(&cudnnDestroy) destroy;
  decltype(&cudnnSetStream) set_stream;
  decltype(&cudnnBackendCreateDescriptor) create_descriptor;
  decltype(&cudnnBackendDestroyDescriptor) destroy_descriptor;
  decltype(&cudnnBackendSetAttribute) set;
  decltype(&cudnnBackendGetAttribute) get;
  decltype(&cudnnBackendFinalize) finalize;
  decltype(&cudnnBackendExecute) execute;
};

// Null where the library, or one of the functions, is missing. The part with the answers:
// libcudnn.so.9 itself only passes calls on, and ends the process where it cannot.
const CudnnLibrary* FindCudnn();

// Throws BugError with cuDNN's own words unless it is success.
void Check(cudnnStatus_t status, const char* what);

// A backend descriptor. Movable. REQUIRES: FindCudnn() != nullptr.
class CudnnDescriptor {
 public:
  explicit CudnnDescriptor(cudnnBackendDescriptorType_t type);
  cudnnBackendDescriptor_t get() const { return descriptor_.get(); }

  void Set(cudnnBackendAttributeName_t name, int64_t value) {
    Set(name, CUDNN_TYPE_INT64, 1, &value);
  }
  void Set(cudnnBackendAttributeName_t name, bool value) {
    Set(name, CUDNN_TYPE_BOOLEAN, 1, &value);
  }
  void Set(cudnnBackendAttributeName_t name, cudnnDataType_t value) {
    Set(name, CUDNN_TYPE_DATA_TYPE, 1, &value);
  }
  void Set(cudnnBackendAttributeName_t name, const CudnnDescriptor& value) {
    const cudnnBackendDescriptor_t descriptor = value.get();
    Set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &descriptor);
  }
  void Set(cudnnBackendAttributeName_t name, std::span<const int64_t> values) {
    Set(name, CUDNN_TYPE_INT64, std::ssize(values), values.data());
  }
  void Set(cudnnBackendAttributeName_t name, const std::vector<CudnnDescriptor>& values);
  void Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
           const void* values);
  void Finalize();
  cudnnStatus_t TryFinalize();  // for what the library may not support
  int64_t Integer(cudnnBackendAttributeName_t name) const;

 private:
  struct Destroy {
    void operator()(void* descriptor) const;
  };
  std::unique_ptr<void, Destroy> descriptor_;
};

}  // namespace moat::tensor::cuda
