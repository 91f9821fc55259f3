// A disk that fails, for programs under LD_PRELOAD.
//
//   BAD_DISK="ACTION@TEXT ACTION@TEXT"   strikes files whose path contains TEXT:
//     full     write() fails with ENOSPC, once half of what is asked for was written
//     quota    the same with EDQUOT
//     eio      write() fails with EIO
//     eio-sync fsync() fails with EIO
//     short    write() takes at most 1,000 bytes at a time: an error nowhere
//     stall    write() waits until the file $BAD_DISK_GATE exists
//
//   BAD_DISK_RECORD=DIRECTORY   writes down what a power loss would leave: at each fsync() a line
//   in DIRECTORY/log, with inode numbers, since a synced file keeps its bytes under whatever name:
//     file INODE NUMBER           its bytes then are in DIRECTORY/NUMBER
//     dir INODE NAME INODE ...    its entries then
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <sstream>
#include <string>

namespace {

std::string PathOf(int fd) {
  std::array<char, 4096> path{};
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t length = readlink(link.c_str(), path.data(), path.size());
  return {path.data(), static_cast<size_t>(std::max<ssize_t>(0, length))};
}

// Is `action` to strike the file?
bool Strikes(const char* action, int fd) {
  const char* const asked = std::getenv("BAD_DISK");
  if (asked == nullptr) return false;
  std::istringstream words(asked);
  for (std::string word; words >> word;) {
    const size_t at = word.find('@');
    if (word.substr(0, at) != action) continue;
    if (PathOf(fd).find(word.substr(at + 1)) != std::string::npos) return true;
  }
  return false;
}

using Write = ssize_t (*)(int, const void*, size_t);
using Sync = int (*)(int);

template <typename Function>
Function Real(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

ssize_t Halves(int fd, const void* data, size_t size, int error) {
  if (size > 1) return Real<Write>("write")(fd, data, size / 2);
  errno = error;
  return -1;
}

std::string Entries(const std::string& directory) {
  std::string entries;
  DIR* const listing = opendir(directory.c_str());
  while (const dirent* entry = readdir(listing)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") entries += " " + name + " " + std::to_string(entry->d_ino);
  }
  closedir(listing);
  return entries;
}

void Copy(int fd, const std::string& to) {
  const std::string path = PathOf(fd);
  const int from = open(path.c_str(), O_RDONLY);  // `fd` may be for writing only
  const int copy = open(to.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  std::array<char, 65536> bytes{};
  for (ssize_t n = read(from, bytes.data(), bytes.size()); n > 0;
       n = read(from, bytes.data(), bytes.size())) {
    if (Real<Write>("write")(copy, bytes.data(), static_cast<size_t>(n)) != n) std::abort();
  }
  close(copy);
  close(from);
}

void Record(const std::string& directory, int fd) {
  static std::mutex mutex;  // ranks that are threads
  const std::lock_guard lock(mutex);
  struct stat status;
  if (fstat(fd, &status) != 0) std::abort();
  const std::string inode = std::to_string(status.st_ino);
  std::string line;
  if (S_ISDIR(status.st_mode)) {
    line = "dir " + inode + Entries(PathOf(fd)) + "\n";
  } else {
    int number = 0;
    while (access((directory + "/" + std::to_string(number)).c_str(), F_OK) == 0) ++number;
    Copy(fd, directory + "/" + std::to_string(number));
    line = "file " + inode + " " + std::to_string(number) + "\n";
  }
  const int log = open((directory + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (Real<Write>("write")(log, line.data(), line.size()) < 0) std::abort();
  close(log);
}

}  // namespace

extern "C" ssize_t write(int fd, const void* data, size_t size) {
  if (Strikes("full", fd)) return Halves(fd, data, size, ENOSPC);
  if (Strikes("quota", fd)) return Halves(fd, data, size, EDQUOT);
  if (Strikes("eio", fd)) {
    errno = EIO;
    return -1;
  }
  if (Strikes("short", fd)) size = std::min<size_t>(size, 1000);
  if (Strikes("stall", fd)) {
    while (access(std::getenv("BAD_DISK_GATE"), F_OK) != 0) usleep(1000);
  }
  return Real<Write>("write")(fd, data, size);
}

extern "C" int fsync(int fd) {
  if (Strikes("eio-sync", fd)) {
    errno = EIO;
    return -1;
  }
  const int result = Real<Sync>("fsync")(fd);
  const char* const record = std::getenv("BAD_DISK_RECORD");
  if (result == 0 && record != nullptr) Record(record, fd);
  return result;
}
