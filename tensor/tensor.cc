// Memory of tensors.
#include "tensor/tensor.h"

#include <cstdlib>
#include <cstring>

namespace moat::tensor {
namespace {

constexpr size_t kAlignment = 64;  // one cache line, and one AVX-512 register

}  // namespace

void Tensor::Free::operator()(void* memory) const { std::free(memory); }

Tensor::Tensor(int64_t count, core::DType dtype, core::DeviceKind device)
    : count_(count), dtype_(dtype), device_(device) {
  MOAT_CHECK(count >= 0, "negative size");
  const size_t size =
      (static_cast<size_t>(bytes().value) + kAlignment - 1) / kAlignment * kAlignment;
  memory_.reset(std::aligned_alloc(kAlignment, size == 0 ? kAlignment : size));
  if (!memory_) {
    throw core::OutOfMemoryError("out of memory: a buffer of " + core::Format(bytes()) +
                                 " could not be allocated; lower --micro_batch, --seq_len or the "
                                 "model's size, or use more ranks");
  }
  std::memset(memory_.get(), 0, size);
}

}  // namespace moat::tensor
