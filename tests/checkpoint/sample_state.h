// A small training state for checkpoint tests: tensors of several dtypes whose every element is
// known, cut over any number of ranks.
#pragma once

#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "parallel/optimizer_range.h"

namespace moat::testing {

using checkpoint::SliceToLoad;
using checkpoint::SliceToSave;
using parallel::Slice;

struct SampleTensor {
  std::string name;
  core::DType dtype;
  core::Shape shape;
};

inline std::vector<SampleTensor> SampleTensors() {
  return {{"embed", core::DType::kF32, {64, 24}},      {"norm", core::DType::kF32, {33}},
          {"head.bf16", core::DType::kBF16, {48, 36}}, {"hash", core::DType::kU64, {5}},
          {"flags", core::DType::kU8, {7, 3, 11}},     {"steps", core::DType::kI64, {}},
          {"nothing", core::DType::kF32, {0, 4}}};
}

// All bytes of a tensor at a step.
inline std::vector<char> SampleBytes(const SampleTensor& tensor, int64_t step) {
  std::vector<char> bytes(
      static_cast<size_t>(tensor.shape.elements() * core::SizeOf(tensor.dtype)));
  for (size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<char>(i * 131 + tensor.name.size() * 17 + static_cast<size_t>(step) * 7);
  }
  return bytes;
}

// One rank's slices, with the memory behind them.
class SampleState {
 public:
  // The state as it is at `step`, cut over `ranks` as an optimizer is; `block` moves the cuts.
  SampleState(int64_t step, int rank, int ranks, int64_t block = 50) {
    const std::vector<SampleTensor> tensors = SampleTensors();
    std::vector<Slice> whole;
    for (const SampleTensor& tensor : tensors) whole.push_back(Slice::Whole(tensor.shape));
    int64_t elements = 0;
    for (const Slice& slice : whole) elements += slice.elements();
    const parallel::BucketPlan plan(elements, ranks, block, elements);
    for (const auto& part : parallel::OptimizerRange(whole, plan, rank)) {
      const auto p = static_cast<size_t>(part.parameter);
      const std::vector<char> all = SampleBytes(tensors[p], step);
      for (const Slice& slice : part.slices) Add(tensors[p], slice, whole[p], all);
    }
    if (rank == 0) {  // an empty tensor belongs to nobody: one rank names it
      Add(tensors.back(), whole.back(), whole.back(), {});
    }
  }

  std::vector<SliceToSave> ToSave() const {
    std::vector<SliceToSave> slices;
    for (const Held& held : held_) {
      slices.push_back({held.tensor.name,
                        held.tensor.shape,
                        held.slice,
                        {held.bytes.data(), held.slice.elements(), held.tensor.dtype}});
    }
    return slices;
  }
  std::vector<SliceToLoad> ToLoad() {
    std::vector<SliceToLoad> slices;
    for (Held& held : held_) {
      std::fill(held.bytes.begin(), held.bytes.end(), '\x5a');
      slices.push_back({held.tensor.name,
                        held.tensor.shape,
                        held.slice,
                        {held.bytes.data(), held.slice.elements(), held.tensor.dtype}});
    }
    return slices;
  }
  bool operator==(const SampleState& other) const {
    bool equal = held_.size() == other.held_.size();
    for (size_t i = 0; equal && i < held_.size(); ++i)
      equal = held_[i].bytes == other.held_[i].bytes;
    return equal;
  }

 private:
  struct Held {
    SampleTensor tensor;
    Slice slice;
    std::vector<char> bytes;
  };
  void Add(const SampleTensor& tensor, const Slice& slice, const Slice& whole,
           const std::vector<char>& all) {
    const int64_t size = core::SizeOf(tensor.dtype);
    Held held{tensor, slice, std::vector<char>(static_cast<size_t>(slice.elements() * size))};
    parallel::CopySlice(slice, whole, all.data(), slice, held.bytes.data(), size);
    held_.push_back(std::move(held));
  }
  std::vector<Held> held_;
};

inline checkpoint::RunPosition SamplePosition(int64_t step) {
  return {"sample", step, {}, {{"config", "{\"layers\":2}"}, {"loss", "1.25"}}};
}

// Is the whole state at `step` what the directory holds?
inline bool HoldsStep(const std::filesystem::path& directory, int64_t step) {
  SampleState state(step, 0, 1);
  const SampleState expected(step, 0, 1);
  checkpoint::Load(directory, checkpoint::ReadManifest(directory), state.ToLoad());
  return state == expected;
}

}  // namespace moat::testing
