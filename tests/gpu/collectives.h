// A test of collectives, on a backend that its parameter names: of host memory over MPI
// ("cpu/.../mpi"), of device memory on CUDA devices ("gpu/...") or on the emulated one
// ("emulated/..."). Its ranks are those of mpirun.
//
// NCCL wants a device for each rank. Where there are fewer, ranks share and pose as hosts of their
// own (NCCL_HOSTID), which NCCL lets through on its socket transport: for tests only.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/mpi.h"
#include "comm/nccl.h"
#include "comm/staged.h"
#include "core/error.h"
#include "tests/conformance/communicator_suite.h"
#include "tests/gpu/on_device.h"

namespace moat::testing {

enum class Backend { kMpi, kNccl, kStaged };

inline comm::MpiSession* g_session = nullptr;  // of main()

class OnBackend : public ::testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (device() == core::DeviceKind::kCuda && tensor::CudaDevice().count() == 0) {
      GTEST_SKIP() << "no CUDA device: " << tensor::LookAtCuda().problem;
    }
    if (GetParam() == Backend::kNccl && comm::NcclVersion() == 0) {
      GTEST_SKIP() << "this build has no NCCL";
    }
    stream_.emplace(device(), DeviceIndex());
    group_ = Make();
    group_->SetDeadline(60);
  }

  std::unique_ptr<comm::Communicator> Make() const {
    switch (GetParam()) {
      case Backend::kNccl:
        return comm::MakeNccl(g_session->World());
      case Backend::kStaged:  // of many pieces
        return comm::MakeStaged(g_session->World(), core::Bytes(4096));
      default:
        return g_session->World();
    }
  }

  core::DeviceKind device() const {
    return GetParam() == Backend::kMpi ? core::DeviceKind::kCpu : core::DeviceKind::kCuda;
  }
  int DeviceIndex() const {
    return g_session->local_rank() % std::max(1, tensor::DeviceOf(device()).count());
  }
  int size() const { return group_->size(); }
  int rank() const { return group_->rank(); }

  template <typename T>
  tensor::Tensor Put(const std::vector<T>& values) {
    tensor::Tensor there(std::ssize(values), core::DTypeOf<T>::value, device());
    tensor::Copy(HostView(values.data(), std::ssize(values)), there.view(), *stream_);
    stream_->Synchronize();
    return there;
  }
  template <typename T>
  std::vector<T> Get(const tensor::Tensor& there) {
    std::vector<T> values(static_cast<size_t>(there.count()));
    tensor::Copy(there.view(), HostView(values.data(), there.count()), *stream_);
    group_->Finish(*stream_);
    return values;
  }

  std::optional<tensor::Stream> stream_;
  std::unique_ptr<comm::Communicator> group_;
};

inline std::string BackendName(const ::testing::TestParamInfo<Backend>& info) {
  constexpr const char* kNames[] = {"mpi", "nccl", "staged"};
  return kNames[static_cast<int>(info.param)];
}

}  // namespace moat::testing

#define MOAT_ON_BACKENDS(prefix, suite, ...) \
  INSTANTIATE_TEST_SUITE_P(prefix, suite, __VA_ARGS__, ::moat::testing::BackendName)
#ifdef MOAT_CUDA_IS
#define MOAT_ON_DEVICE_BACKENDS(suite, ...) MOAT_ON_BACKENDS(MOAT_CUDA_IS, suite, __VA_ARGS__)
#else
#define MOAT_ON_DEVICE_BACKENDS(suite, ...) MOAT_ON_BACKENDS(gpu, suite, __VA_ARGS__)
#endif
