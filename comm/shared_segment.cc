// Segments of /dev/shm.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "comm/shared_memory.h"
#include "core/error.h"
#include "core/units.h"

namespace moat::comm {
namespace {

[[noreturn]] void Fail(const std::string& action, const std::string& name, int error) {
  throw core::StorageError("cannot " + action + " the shared memory /dev/shm" + name + ": " +
                           std::strerror(error));
}

char* Map(int fd, const std::string& name, size_t size) {
  void* const data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  const int error = errno;
  close(fd);
  if (data == MAP_FAILED) Fail("map", name, error);
  return static_cast<char*>(data);
}

}  // namespace

SharedSegment SharedSegment::Create(const std::string& name, size_t size) {
  const int fd = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) Fail("create", name, errno);
  // Reserving now turns a full /dev/shm into an error here instead of SIGBUS at first touch.
  const int error = posix_fallocate(fd, 0, static_cast<off_t>(size));
  if (error != 0) {
    close(fd);
    Unlink(name);
    Fail("reserve " + core::Format(core::Bytes(static_cast<int64_t>(size))) + " for", name, error);
  }
  try {
    return SharedSegment(Map(fd, name, size), size);
  } catch (...) {
    Unlink(name);
    throw;
  }
}

SharedSegment SharedSegment::Open(const std::string& name, size_t size) {
  const int fd = shm_open(name.c_str(), O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) Fail("open", name, errno);
  return SharedSegment(Map(fd, name, size), size);
}

void SharedSegment::Unlink(const std::string& name) { shm_unlink(name.c_str()); }

SharedSegment::SharedSegment(SharedSegment&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}

SharedSegment::~SharedSegment() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace moat::comm
