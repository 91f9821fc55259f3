// flock on the data set's directory.
#include "data/dataset_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/error.h"
#include "core/logging.h"

namespace moat::data {

DatasetLock::DatasetLock(const std::filesystem::path& directory)
    : fd_(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (fd_ < 0) {
    throw core::StorageError("cannot open " + directory.string() + ": " + std::strerror(errno));
  }
  if (flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  const int error = errno;
  if (error == EWOULDBLOCK) {
    close(fd_);
    throw core::ConfigError(directory.string() +
                            " is being changed by another moat data command; try again when it is "
                            "done");
  }
  core::Log(core::Log::kWarning) << "cannot lock " << directory.string() << " ("
                                 << std::strerror(error)
                                 << "): see that nobody else changes it now";
}

DatasetLock::~DatasetLock() { close(fd_); }

bool DatasetLock::IsFree(const std::filesystem::path& directory) {
  const int fd = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool free = flock(fd, LOCK_EX | LOCK_NB) == 0;
  close(fd);
  return free;
}

}  // namespace moat::data
