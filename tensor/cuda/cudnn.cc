// cuDNN's backend API, found at run time.
#include "tensor/cuda/cudnn.h"

#include <dlfcn.h>

#include <array>

#include "core/error.h"

namespace moat::tensor::cuda {
namespace {

// False where the library has no such function.
template <typename Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

const CudnnLibrary* Load() {
  static CudnnLibrary found;
  void* const library = dlopen("libcudnn_graph.so.9", RTLD_NOW | RTLD_LOCAL);
  const bool whole = library != nullptr && Find(library, "cudnnGetVersion", found.version) &&
                     Find(library, "cudnnGetLastErrorString", found.last_error) &&
                     Find(library, "cudnnCreate", found.create) &&
                     Find(library, "cudnnDestroy", found.destroy) &&
                     Find(library, "cudnnSetStream", found.set_stream) &&
                     Find(library, "cudnnBackendCreateDescriptor", found.create_descriptor) &&
                     Find(library, "cudnnBackendDestroyDescriptor", found.destroy_descriptor) &&
                     Find(library, "cudnnBackendSetAttribute", found.set) &&
                     Find(library, "cudnnBackendGetAttribute", found.get) &&
                     Find(library, "cudnnBackendFinalize", found.finalize) &&
                     Find(library, "cudnnBackendExecute", found.execute);
  return whole ? &found : nullptr;
}

const CudnnLibrary& Library() {
  const CudnnLibrary* const library = FindCudnn();
  MOAT_CHECK(library != nullptr, "cuDNN is used where there is none");
  return *library;
}

}  // namespace

const CudnnLibrary* FindCudnn() {
  static const CudnnLibrary* const library = Load();
  return library;
}

void Check(cudnnStatus_t status, const char* what) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 1024> words{};
  Library().last_error(words.data(), words.size());
  throw core::BugError(std::string("cuDNN: ") + what + ": status " + std::to_string(status) + ": " +
                       words.data());
}

void CudnnDescriptor::Destroy::operator()(void* descriptor) const {
  Library().destroy_descriptor(static_cast<cudnnBackendDescriptor_t>(descriptor));
}

CudnnDescriptor::CudnnDescriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t descriptor = nullptr;
  Check(Library().create_descriptor(type, &descriptor), "making a descriptor");
  descriptor_.reset(descriptor);
}

void CudnnDescriptor::Set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                          int64_t count, const void* values) {
  Check(Library().set(get(), name, type, count, values), "describing");
}

void CudnnDescriptor::Set(cudnnBackendAttributeName_t name,
                          const std::vector<CudnnDescriptor>& values) {
  std::vector<cudnnBackendDescriptor_t> descriptors;
  for (const CudnnDescriptor& value : values) descriptors.push_back(value.get());
  Set(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, std::ssize(descriptors), descriptors.data());
}

void CudnnDescriptor::Finalize() { Check(TryFinalize(), "finishing a description"); }

cudnnStatus_t CudnnDescriptor::TryFinalize() { return Library().finalize(get()); }

int64_t CudnnDescriptor::Integer(cudnnBackendAttributeName_t name) const {
  int64_t value = 0, count = 0;
  Check(Library().get(get(), name, CUDNN_TYPE_INT64, 1, &count, &value), "asking");
  return value;
}

}  // namespace moat::tensor::cuda
