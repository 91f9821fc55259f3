// Memory of tensors.
#include "tensor/tensor.h"

#include "tensor/device.h"

namespace moat::tensor {

void Tensor::Free::operator()(void* memory) const { DeviceOf(device).free(memory); }

Tensor::Tensor(int64_t count, core::DType dtype, core::DeviceKind device)
    : count_(count), dtype_(dtype), device_(device) {
  MOAT_CHECK(count >= 0, "negative size");
  // An empty tensor has an address of its own all the same.
  const core::Bytes size(count == 0 ? 1 : bytes().value);
  memory_ = {DeviceOf(device).allocate(size), Free{device}};
}

}  // namespace moat::tensor
