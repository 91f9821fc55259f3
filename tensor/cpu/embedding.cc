// Token embeddings and rotary positions.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/parallel_for.h"
#include "tensor/cpu/vector_math.h"

namespace moat::tensor::cpu {
namespace {

constexpr int64_t kRowBlock = 64;
constexpr int64_t kColumnBlock = 64;

template <typename T>
MOAT_ROW_KERNEL void AddRow(const T* x, T* y, int64_t n) {
  ForEach<T>(n, [&](auto at) MOAT_TERM { at.Store(y, at(y) + at(x)); });
}

template <typename T>
MOAT_ROW_KERNEL void AddToTable(const T* x, float* y, int64_t n) {
  ForEach<T>(n, [&](auto at) MOAT_TERM { at.Store(y, at(y) + at(x)); });
}

template <typename T>
void Embed(int64_t tokens, int64_t width, int64_t first, int64_t table_rows, const int32_t* ids,
           const void* table, void* y, bool accumulate, const Stream& stream) {
  ParallelBlocks(tokens, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const int64_t row = ids[t] - first;
      T* to = static_cast<T*>(y) + t * width;
      if (row < 0 || row >= table_rows) {
        if (!accumulate) std::fill_n(to, width, T{});
        continue;
      }
      const T* from = static_cast<const T*>(table) + row * width;
      if (!accumulate) {
        std::memcpy(to, from, static_cast<size_t>(width) * sizeof(T));
        continue;
      }
      AddRow(from, to, width);
    }
  });
}

// Tokens repeat, so rows collide: work is split by columns, and each column adds its tokens in
// order.
template <typename T>
void EmbedGrad(int64_t tokens, int64_t width, int64_t first, int64_t table_rows, const int32_t* ids,
               const void* dy, float* dtable, const Stream& stream) {
  ParallelBlocks(width, kColumnBlock, stream, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < tokens; ++t) {
      const int64_t row = ids[t] - first;
      if (row < 0 || row >= table_rows) continue;
      AddToTable(static_cast<const T*>(dy) + t * width + begin, dtable + row * width + begin,
                 end - begin);
    }
  });
}

template <typename T>
MOAT_ROW_KERNEL void RotateRow(T* x, int64_t heads, int64_t head_width, const float* cosine,
                               const float* sine) {
  const int64_t half = head_width / 2;
  for (int64_t h = 0; h < heads; ++h) {
    T* first = x + h * head_width;
    T* second = first + half;
    ForEach<T>(half, [&](auto at) MOAT_TERM {
      const auto a = at(first), b = at(second), c = at(cosine), s = at(sine);
      at.Store(first, a * c - b * s);
      at.Store(second, a * s + b * c);
    });
  }
}

template <typename T>
void Rotate(int64_t tokens, int64_t heads, int64_t head_width, int64_t stride,
            const int32_t* positions, double base, bool inverse, void* x, const Stream& stream) {
  const int64_t half = head_width / 2;
  std::vector<double> frequency(static_cast<size_t>(half));
  for (int64_t i = 0; i < half; ++i) {
    frequency[static_cast<size_t>(i)] =
        std::pow(base, -2.0 * static_cast<double>(i) / static_cast<double>(head_width));
  }
  ParallelBlocks(tokens, kRowBlock, stream, [&](int64_t begin, int64_t end) {
    std::vector<float> cosine(static_cast<size_t>(half)), sine(static_cast<size_t>(half));
    int64_t known = -1;  // the position whose angles stand in the tables
    for (int64_t t = begin; t < end; ++t) {
      if (positions[t] != known) {
        known = positions[t];
        for (size_t i = 0; i < cosine.size(); ++i) {
          const double angle = static_cast<double>(known) * frequency[i];
          cosine[i] = static_cast<float>(std::cos(angle));
          sine[i] = static_cast<float>(inverse ? -std::sin(angle) : std::sin(angle));
        }
      }
      RotateRow(static_cast<T*>(x) + t * stride, heads, head_width, cosine.data(), sine.data());
    }
  });
}

}  // namespace

template <typename T>
void FillEmbedding(KernelTable& table) {
  table.embed = Embed<T>;
  table.embed_grad = EmbedGrad<T>;
  table.rotate = Rotate<T>;
}

template void FillEmbedding<float>(KernelTable&);
template void FillEmbedding<core::BFloat16>(KernelTable&);

}  // namespace moat::tensor::cpu
