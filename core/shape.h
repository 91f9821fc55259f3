// The shape of a tensor: up to four extents, outermost first.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace moat::core {

class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims) : dims_(dims) {}
  explicit Shape(std::vector<int64_t> dims) : dims_(std::move(dims)) {}
  int rank() const { return static_cast<int>(dims_.size()); }
  int64_t operator[](int dim) const { return dims_[static_cast<size_t>(dim)]; }
  const std::vector<int64_t>& dims() const { return dims_; }
  int64_t elements() const {
    int64_t n = 1;
    for (const int64_t d : dims_) n *= d;
    return n;
  }
  bool operator==(const Shape&) const = default;
  std::string text() const {  // "[4, 256]"
    std::string s = "[";
    for (size_t i = 0; i < dims_.size(); ++i) s += (i ? ", " : "") + std::to_string(dims_[i]);
    return s + "]";
  }

 private:
  std::vector<int64_t> dims_;
};

}  // namespace moat::core
