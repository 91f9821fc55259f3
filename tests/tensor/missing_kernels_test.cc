// An op without a kernel says so; kernels that are there stay.
#include "tensor/missing_kernels.h"

#include <gtest/gtest.h>

#include <string>

#include "core/error.h"
#include "tensor/stream.h"

namespace moat::tensor {
namespace {

void Add(int64_t, const void*, void*, const Stream&) {}
bool Fused(const FusedProduct&, const Stream&) { return false; }

TEST(MissingKernels, ThrowWithOpAndDevice) {
  KernelTable table{};
  table.add = Add;
  RefuseMissingKernels<core::DeviceKind::kCuda>(&table);
  EXPECT_EQ(table.add, Add);
  const Stream stream;
  try {
    table.gelu(1, nullptr, nullptr, stream);
    FAIL() << "a missing kernel ran";
  } catch (const core::ConfigError& error) {
    EXPECT_EQ(std::string(error.what()), "Gelu is not offered on cuda yet; use --device=cpu");
  }
  EXPECT_THROW(
      table.matmul(false, false, 1, 1, 1, nullptr, nullptr, nullptr, nullptr, true, false, stream),
      core::ConfigError);
  EXPECT_THROW(table.sums_of_squares(1, nullptr, 1, 0, nullptr, stream), core::ConfigError);
}

TEST(MissingKernels, LeaveNoEntryEmptyButTheOneThatMayBe) {
  KernelTable table{};
  table.fused_product = Fused;
  RefuseMissingKernels<core::DeviceKind::kCpu>(&table);
  const auto* const entries = reinterpret_cast<void (*const*)()>(&table);
  for (size_t i = 0; i < sizeof table / sizeof *entries; ++i) EXPECT_NE(entries[i], nullptr) << i;
}

}  // namespace
}  // namespace moat::tensor
