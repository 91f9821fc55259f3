// RAII for the handles of cuBLASLt, and its errors as ours.
#pragma once

#include <cublasLt.h>

#include "tensor/cuda/handle.h"

namespace moat::tensor::cuda {

using BlasHandle = Handle<cublasLtHandle_t, cublasLtDestroy>;
using MatmulHandle = Handle<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using LayoutHandle = Handle<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;
using PreferenceHandle = Handle<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

// Throws unless it is success: OutOfMemoryError for memory, else BugError. `what` is the call.
void Check(cublasStatus_t status, const char* what);

}  // namespace moat::tensor::cuda
