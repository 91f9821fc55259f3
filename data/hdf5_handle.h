// HDF5 identifiers that close themselves, and HDF5's error stack as text. Included by sources only.
#pragma once

#include <hdf5.h>

#include <mutex>
#include <string>
#include <utility>

#include "core/dtype.h"
#include "core/error.h"

namespace moat::data {

// The innermost message of this thread's HDF5 error stack: the one that knows errno.
inline std::string Hdf5Problem() {
  std::string text;
  const auto keep = [](unsigned depth, const H5E_error2_t* error, void* out) -> herr_t {
    if (depth == 0 && error->desc != nullptr) *static_cast<std::string*>(out) = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep, &text);
  return text.empty() ? "no detail" : text;
}

class Hid {
 public:
  using Close = herr_t (*)(hid_t);
  Hid(hid_t id, Close close) : id_(id), close_(close) {}
  ~Hid() { Reset(); }
  Hid(Hid&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Hid& operator=(Hid&&) = delete;
  operator hid_t() const { return id_; }  // NOLINT: it stands for the identifier
  bool valid() const { return id_ >= 0; }
  herr_t Reset() { return id_ >= 0 ? close_(std::exchange(id_, -1)) : 0; }

 private:
  hid_t id_;
  Close close_;
};

// The library is one state for the whole process, and may have been built without locks of its own:
// whoever calls it where other threads may do so holds this.
inline std::mutex& Hdf5Lock() {
  static std::mutex lock;
  return lock;
}

// How a dtype lies in a file.
inline hid_t Hdf5Type(core::DType dtype) {
  switch (dtype) {
    case core::DType::kU8:
      return H5T_STD_U8LE;
    case core::DType::kU16:
      return H5T_STD_U16LE;
    case core::DType::kU32:
      return H5T_STD_U32LE;
    case core::DType::kI64:
      return H5T_STD_I64LE;
    case core::DType::kF32:
      return H5T_IEEE_F32LE;
    default:
      return H5T_STD_U64LE;
  }
}

// HDF5 prints its error stack to stderr unless told not to, per thread.
inline void SilenceHdf5() { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

}  // namespace moat::data
