// A full disk, for programs under LD_PRELOAD: write() into a file whose path holds $FULL_DISK_AT
// fails with ENOSPC once half of what is asked for was written, as the kernel does it.
#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

bool IsFull(int fd) {
  const char* const at = std::getenv("FULL_DISK_AT");
  if (at == nullptr || *at == '\0') return false;
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  return readlink(link.c_str(), path.data(), path.size() - 1) > 0 &&
         std::strstr(path.data(), at) != nullptr;
}

}  // namespace

extern "C" ssize_t write(int fd, const void* data, size_t size) {
  using Write = ssize_t (*)(int, const void*, size_t);
  static const auto real = reinterpret_cast<Write>(dlsym(RTLD_NEXT, "write"));
  if (!IsFull(fd)) return real(fd, data, size);
  if (size > 1) return real(fd, data, size / 2);
  errno = ENOSPC;
  return -1;
}
