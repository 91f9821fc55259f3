// RMSNorm and LayerNorm, forward and backward, and the gradient of a bias.
//
// A block of threads takes a row at a time, which stays in registers from its first reading on
// (very wide ones in part). The gradient's block takes a group of rows one after another: its
// threads add up the parameters' gradients of their columns on the way, in shared memory, and leave
// one partial sum a group; a second kernel adds those, in order. Groups are a function of the shape
// alone, and so are the bits.
#include <algorithm>
#include <string>

#include "core/error.h"
#include "tensor/cuda/element.cuh"
#include "tensor/cuda/instruction.cuh"
#include "tensor/cuda/kernels.h"
#include "tensor/cuda/launch.h"
#include "tensor/cuda/reduce.cuh"

namespace moat::tensor::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kKept = 4;  // packs of a row that a thread keeps
constexpr int64_t kLeastRows = 16, kMostGroups = 1024;
constexpr size_t kMostSharedBytes = 226 << 10;  // of a block on Hopper, beside what is fixed

// body(column, pack) for the packs of a row that are this thread's; pack kKept is one of those that
// do not stay in registers.
template <int kStep, typename Body>
__device__ inline void ForEachPack(int64_t width, const Body& body) {
#pragma unroll
  for (int pack = 0; pack < kKept; ++pack) {
    const int64_t column = (int64_t{pack} * kThreads + threadIdx.x) * kStep;
    if (column < width) body(column, pack);
  }
  for (int64_t column = (int64_t{kKept} * kThreads + threadIdx.x) * kStep; column < width;
       column += kThreads * kStep) {
    body(column, kKept);
  }
}

template <typename T, int kStep>
struct Row {
  const T* row;
  float kept[kKept][kStep];

  __device__ Row(const T* at, int64_t width) : row(at) {
#pragma unroll
    for (int pack = 0; pack < kKept; ++pack) {
      const int64_t column = (int64_t{pack} * kThreads + threadIdx.x) * kStep;
      if (column < width) LoadPack(row + column, kept[pack]);
    }
  }
  __device__ void Get(int64_t column, int pack, float (&values)[kStep]) const {
    if (pack == kKept) {
      LoadPack(row + column, values);
      return;
    }
#pragma unroll
    for (int i = 0; i < kStep; ++i) values[i] = kept[pack][i];
  }
};

// The sum over a row of term(element).
template <typename T, int kStep, typename Term>
__device__ inline float SumOf(const Row<T, kStep>& row, int64_t width, const Term& term) {
  float sum = 0;
  ForEachPack<kStep>(width, [&](int64_t column, int pack) {
    float values[kStep];
    row.Get(column, pack, values);
#pragma unroll
    for (int i = 0; i < kStep; ++i) sum += term(values[i]);
  });
  return OverBlock<Sum, kThreads>(sum);
}

// kCentred: LayerNorm, else RMSNorm, which has neither mean nor bias. bias: null for none.
template <typename T, int kStep, bool kCentred>
__global__ void __launch_bounds__(kThreads)
    NormKernel(int64_t width, float epsilon, const T* x, const T* weight, const T* bias, T* y,
               float* means, float* inverses) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * width;
  const float n = static_cast<float>(width);
  const Row<T, kStep> row(x + first, width);
  float mean = 0;
  if constexpr (kCentred) mean = SumOf(row, width, [](float v) { return v; }) / n;
  const float squares = SumOf(row, width, [mean](float v) { return (v - mean) * (v - mean); });
  const float inverse = 1.0f / sqrtf(squares / n + epsilon);
  if (threadIdx.x == 0) {
    inverses[blockIdx.x] = inverse;
    if constexpr (kCentred) means[blockIdx.x] = mean;
  }
  ForEachPack<kStep>(width, [&](int64_t column, int pack) {
    float values[kStep], scale[kStep], add[kStep] = {};
    row.Get(column, pack, values);
    LoadPack(weight + column, scale);
    if (kCentred && bias != nullptr) LoadPack(bias + column, add);
#pragma unroll
    for (int i = 0; i < kStep; ++i) values[i] = (values[i] - mean) * inverse * scale[i] + add[i];
    StorePack(values, y + first + column);
  });
}

template <typename T>
struct NormGradArguments {
  int64_t rows, width, rows_of_each;  // of a group
  const T *x, *weight;
  const float *means, *inverses;  // means: null for RMSNorm
  const T* dy;
  T* dx;  // may be dy: an element is read for the last time by the thread that writes it
  float *dweight, *dbias;  // partial sums [groups, width]; dbias may be null
};

// With n = (x - mean) * inverse and g = dy * weight:
// dx = inverse * (g - mean(g) - n * mean(g * n)), in RMSNorm without the second term.
template <typename T, int kStep, bool kCentred>
__global__ void __launch_bounds__(kThreads) NormGradKernel(const NormGradArguments<T> a) {
  float* const weight_sums = static_cast<float*>(DynamicShared());
  float* const bias_sums = weight_sums + a.width;
  const int64_t width = a.width;
  const float n = static_cast<float>(width);
  // A thread's own columns of the sums: no other thread touches them.
  ForEachPack<kStep>(width, [&](int64_t column, int) {
    const float zeros[kStep] = {};
    StorePack(zeros, weight_sums + column);
    if (a.dbias != nullptr) StorePack(zeros, bias_sums + column);
  });
  const int64_t begin = blockIdx.x * a.rows_of_each;
  const int64_t end = min(a.rows, begin + a.rows_of_each);
  for (int64_t r = begin; r < end; ++r) {
    const Row<T, kStep> x(a.x + r * width, width), dy(a.dy + r * width, width);
    const float mean = kCentred ? a.means[r] : 0.0f, inverse = a.inverses[r];
    float sum = 0, dot = 0;
    ForEachPack<kStep>(width, [&](int64_t column, int pack) {
      float values[kStep], gradients[kStep], scale[kStep];
      x.Get(column, pack, values);
      dy.Get(column, pack, gradients);
      LoadPack(a.weight + column, scale);
#pragma unroll
      for (int i = 0; i < kStep; ++i) {
        sum += gradients[i] * scale[i];
        dot += gradients[i] * scale[i] * (values[i] - mean);
      }
    });
    if constexpr (kCentred) {
      sum = OverBlock<Sum, kThreads>(sum) / n;
    } else {
      sum = 0;
    }
    const float factor = OverBlock<Sum, kThreads>(dot) / n * inverse * inverse;
    ForEachPack<kStep>(width, [&](int64_t column, int pack) {
      float values[kStep], gradients[kStep], scale[kStep], sums[kStep];
      x.Get(column, pack, values);
      dy.Get(column, pack, gradients);
      LoadPack(a.weight + column, scale);
      LoadPack(weight_sums + column, sums);
#pragma unroll
      for (int i = 0; i < kStep; ++i) {
        const float centred = values[i] - mean;
        sums[i] += gradients[i] * (centred * inverse);
        values[i] = inverse * (gradients[i] * scale[i] - sum - centred * factor);
      }
      StorePack(values, a.dx + r * width + column);
      StorePack(sums, weight_sums + column);
      if (a.dbias == nullptr) return;
      LoadPack(bias_sums + column, sums);
#pragma unroll
      for (int i = 0; i < kStep; ++i) sums[i] += gradients[i];
      StorePack(sums, bias_sums + column);
    });
  }
  const int64_t to = blockIdx.x * width;
  ForEachPack<kStep>(width, [&](int64_t column, int) {
    float sums[kStep];
    LoadPack(weight_sums + column, sums);
    StorePack(sums, a.dweight + to + column);
    if (a.dbias == nullptr) return;
    LoadPack(bias_sums + column, sums);
    StorePack(sums, a.dbias + to + column);
  });
}

// A block of kAcross x kDown threads takes packs of columns (of columns, in AddGroups); threads
// above one another share the rows and then add up in order.
constexpr int kAcross = 32, kDown = 8;

// sums [groups, width]: of the rows of each group.
template <typename T, int kStep>
__global__ void __launch_bounds__(kAcross* kDown)
    ColumnSumsKernel(int64_t rows, int64_t width, int64_t rows_of_each, const T* x, float* sums) {
  __shared__ float of_threads[kDown][kAcross * kStep];
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * kAcross + threadIdx.x) * kStep;
  const int64_t begin = blockIdx.y * rows_of_each;
  const int64_t end = min(rows, begin + rows_of_each);
  float sum[kStep] = {};
  for (int64_t r = begin + threadIdx.y; r < end && column < width; r += kDown) {
    float values[kStep];
    LoadPack(x + r * width + column, values);
#pragma unroll
    for (int i = 0; i < kStep; ++i) sum[i] += values[i];
  }
#pragma unroll
  for (int i = 0; i < kStep; ++i) of_threads[threadIdx.y][threadIdx.x * kStep + i] = sum[i];
  __syncthreads();
  if (threadIdx.y != 0 || column >= width) return;
#pragma unroll
  for (int i = 0; i < kStep; ++i) {
    float total = 0;
    for (int y = 0; y < kDown; ++y) total += of_threads[y][threadIdx.x * kStep + i];
    sums[blockIdx.y * width + column + i] = total;
  }
}

// y [width] = the sum of `groups` rows of x, or += it.
__global__ void __launch_bounds__(kAcross* kDown)
    AddGroupsKernel(int64_t groups, int64_t width, const float* x, float* y, bool accumulate) {
  __shared__ float of_threads[kDown][kAcross];
  const int64_t column = static_cast<int64_t>(blockIdx.x) * kAcross + threadIdx.x;
  float sum = 0;
  for (int64_t i = threadIdx.y; i < groups && column < width; i += kDown) {
    sum += x[i * width + column];
  }
  of_threads[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || column >= width) return;
  float total = accumulate ? y[column] : 0.0f;
  for (int row = 0; row < kDown; ++row) total += of_threads[row][threadIdx.x];
  y[column] = total;
}

// How rows are shared out: so many of each group, whose sums fit into the workspace.
struct Groups {
  int64_t rows_of_each, count;
  Groups(int64_t rows, int64_t width, int64_t sums_of_each) {
    const int64_t fit =
        static_cast<int64_t>(kWorkspaceBytes / sizeof(float)) / (width * sums_of_each);
    const int64_t most = std::clamp<int64_t>(fit, 1, kMostGroups);
    rows_of_each = std::max(kLeastRows, (rows + most - 1) / most);
    count = (rows + rows_of_each - 1) / rows_of_each;
  }
};

void AddGroups(const Groups& groups, int64_t width, const float* sums, float* y, bool accumulate,
               const Stream& stream) {
  Launch("sum over groups of rows", stream, AddGroupsKernel, Blocks(width, kAcross),
         dim3(kAcross, kDown), 0, groups.count, width, sums, y, accumulate);
}

template <typename T, bool kCentred>
void Norm(int64_t rows, int64_t width, float epsilon, const void* x, const void* weight,
          const void* bias, void* y, float* means, float* inverses, const Stream& stream) {
  const bool wide = width % kVector<T> == 0 && Aligned(x, weight, bias, y);
  const auto kernel = wide ? NormKernel<T, kVector<T>, kCentred> : NormKernel<T, 1, kCentred>;
  Launch("norm", stream, kernel, static_cast<unsigned>(rows), kThreads, 0, width, epsilon,
         static_cast<const T*>(x), static_cast<const T*>(weight), static_cast<const T*>(bias),
         static_cast<T*>(y), means, inverses);
}

template <typename T, bool kCentred>
void NormGrad(int64_t rows, int64_t width, const void* x, const void* weight, const float* means,
              const float* inverses, const void* dy, void* dx, float* dweight, float* dbias,
              bool accumulate, const Stream& stream) {
  const int64_t sums_of_each = dbias != nullptr ? 2 : 1;
  const size_t shared = static_cast<size_t>(sums_of_each * width) * sizeof(float);
  if (shared > kMostSharedBytes) {
    throw core::ConfigError("norms on cuda take rows of at most " +
                            std::to_string(kMostSharedBytes / sizeof(float) / 2) +
                            " elements, not of " + std::to_string(width));
  }
  const Groups groups(rows, width, sums_of_each);
  auto* const weight_sums = static_cast<float*>(Of(stream).workspace());
  float* const bias_sums = dbias != nullptr ? weight_sums + groups.count * width : nullptr;
  const bool wide = width % kVector<T> == 0 && Aligned(x, weight, dy, dx);
  const auto kernel =
      wide ? NormGradKernel<T, kVector<T>, kCentred> : NormGradKernel<T, 1, kCentred>;
  Launch(
      "gradient of a norm", stream, kernel, static_cast<unsigned>(groups.count), kThreads, shared,
      NormGradArguments<T>{rows, width, groups.rows_of_each, static_cast<const T*>(x),
                           static_cast<const T*>(weight), means, inverses,
                           static_cast<const T*>(dy), static_cast<T*>(dx), weight_sums, bias_sums});
  AddGroups(groups, width, weight_sums, dweight, accumulate, stream);
  if (dbias != nullptr) AddGroups(groups, width, bias_sums, dbias, accumulate, stream);
}

template <typename T>
void RmsNorm(int64_t rows, int64_t width, float epsilon, const void* x, const void* weight, void* y,
             float* inverse_rms, const Stream& stream) {
  Norm<T, false>(rows, width, epsilon, x, weight, nullptr, y, nullptr, inverse_rms, stream);
}

template <typename T>
void RmsNormGrad(int64_t rows, int64_t width, const void* x, const void* weight,
                 const float* inverse_rms, const void* dy, void* dx, float* dweight,
                 bool accumulate, const Stream& stream) {
  NormGrad<T, false>(rows, width, x, weight, nullptr, inverse_rms, dy, dx, dweight, nullptr,
                     accumulate, stream);
}

template <typename T>
void BiasGrad(int64_t rows, int64_t width, const void* dy, float* dbias, bool accumulate,
              const Stream& stream) {
  const Groups groups(rows, width, 1);
  auto* const sums = static_cast<float*>(Of(stream).workspace());
  const bool wide = width % kVector<T> == 0 && Aligned(dy);
  const auto kernel = wide ? ColumnSumsKernel<T, kVector<T>> : ColumnSumsKernel<T, 1>;
  const int64_t columns = kAcross * (wide ? kVector<T> : 1);
  Launch("sums of columns", stream, kernel,
         dim3(Blocks(width, columns), static_cast<unsigned>(groups.count)), dim3(kAcross, kDown), 0,
         rows, width, groups.rows_of_each, static_cast<const T*>(dy), sums);
  AddGroups(groups, width, sums, dbias, accumulate, stream);
}

template <typename T>
void Fill(KernelTable& table) {
  table.rms_norm = RmsNorm<T>;
  table.rms_norm_grad = RmsNormGrad<T>;
  table.layer_norm = Norm<T, true>;
  table.layer_norm_grad = NormGrad<T, true>;
  table.bias_grad = BiasGrad<T>;
}

}  // namespace

void FillNorm(core::DType dtype, KernelTable& table) {
  dtype == core::DType::kF32 ? Fill<float>(table) : Fill<BFloat16>(table);
}

}  // namespace moat::tensor::cuda
