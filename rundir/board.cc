// The board of a rank: a sequence lock over a page of shared memory.
#include "rundir/board.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>

#include "core/clock.h"
#include "core/error.h"

namespace moat::rundir {

namespace {
constexpr uint64_t kMagic = 0x6472616f6274616dull;  // "matboard"
constexpr size_t kNameWords = 6;
}  // namespace

// Every field is atomic, so that reading while the rank writes is defined; `version` is odd while
// it writes, which tells the reader to look again. Fields are released and acquired rather than
// fenced: whoever sees one of an update sees its odd version, too. (Fences are as good, but
// ThreadSanitizer does not understand them.)
struct BoardMemory {
  std::atomic<uint64_t> magic;
  std::atomic<uint64_t> version;
  std::atomic<uint32_t> phase;
  std::atomic<uint32_t> inside;
  std::atomic<uint32_t> requests;  // written by a signal handler: outside of `version`
  std::atomic<int64_t> step;
  std::atomic<uint64_t> sequence;
  std::atomic<uint64_t> changed_at;  // bits of a double
  std::array<std::atomic<uint64_t>, kNameWords> name;
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

namespace {

BoardMemory* Map(const std::filesystem::path& path, bool writable) {
  const int flags = writable ? O_RDWR | O_CREAT | O_TRUNC : O_RDONLY;
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0644);
  if (fd < 0) return nullptr;
  // A shorter file would end a reader with SIGBUS.
  // Nor may a full disk end the writer with one: its room is taken here.
  const int error_of_room = writable ? posix_fallocate(fd, 0, sizeof(BoardMemory)) : 0;
  const bool sized =
      writable ? error_of_room == 0 : lseek(fd, 0, SEEK_END) >= off_t{sizeof(BoardMemory)};
  errno = error_of_room;
  void* memory = MAP_FAILED;
  if (sized) {
    memory = mmap(nullptr, sizeof(BoardMemory), writable ? PROT_READ | PROT_WRITE : PROT_READ,
                  MAP_SHARED, fd, 0);
  }
  const int error = errno;
  close(fd);
  errno = error;
  return memory == MAP_FAILED ? nullptr : static_cast<BoardMemory*>(memory);
}

BoardSnapshot Copy(const BoardMemory& memory) {
  constexpr auto acquire = std::memory_order_acquire;
  BoardSnapshot snapshot;
  snapshot.phase = static_cast<Phase>(memory.phase.load(acquire));
  snapshot.step = memory.step.load(acquire);
  snapshot.sequence = memory.sequence.load(acquire);
  snapshot.inside_collective = memory.inside.load(acquire) != 0;
  snapshot.requests = memory.requests.load(acquire);
  snapshot.changed_at = std::bit_cast<double>(memory.changed_at.load(acquire));
  char name[kNameWords * 8];
  for (size_t i = 0; i < kNameWords; ++i) {
    const uint64_t word = memory.name[i].load(acquire);
    std::memcpy(name + i * 8, &word, 8);
  }
  snapshot.collective.assign(name, strnlen(name, sizeof name));
  return snapshot;
}

}  // namespace

const char* Name(Phase phase) {
  switch (phase) {
    case Phase::kStarting:
      return "starting";
    case Phase::kLoading:
      return "loading";
    case Phase::kStep:
      return "step";
    case Phase::kEvaluating:
      return "evaluating";
    case Phase::kSaving:
      return "saving";
    case Phase::kFinishing:
      return "finishing";
  }
  return "unknown";
}

BoardWriter::BoardWriter(const std::filesystem::path& path, core::StopRequest* stop)
    : memory_(Map(path, true)), stop_(stop) {
  if (memory_ == nullptr) {
    throw core::StorageError("cannot make " + path.string() + ": " + std::strerror(errno));
  }
  SetPhase(Phase::kStarting);
  if (stop_ != nullptr) stop_->CountIn(&memory_->requests);
  memory_->magic.store(kMagic, std::memory_order_release);
}

BoardWriter::~BoardWriter() {
  if (stop_ != nullptr) stop_->CountIn(nullptr);
  munmap(memory_, sizeof(BoardMemory));
}

template <typename Change>
void BoardWriter::Update(const Change& change) {
  constexpr auto relaxed = std::memory_order_relaxed;
  const uint64_t version = memory_->version.load(relaxed);
  memory_->version.store(version + 1, relaxed);
  change(*memory_);
  memory_->changed_at.store(std::bit_cast<uint64_t>(core::MonotonicSeconds()),
                            std::memory_order_release);
  memory_->version.store(version + 2, std::memory_order_release);
}

void BoardWriter::SetPhase(Phase phase) {
  Update([&](BoardMemory& m) {
    m.phase.store(static_cast<uint32_t>(phase), std::memory_order_release);
  });
}

void BoardWriter::SetStep(int64_t step) {
  Update([&](BoardMemory& m) { m.step.store(step, std::memory_order_release); });
}

void BoardWriter::EnterCollective(const std::string& name, uint64_t sequence) {
  char text[kNameWords * 8] = {};
  name.copy(text, sizeof text - 1);
  Update([&](BoardMemory& m) {
    for (size_t i = 0; i < kNameWords; ++i) {
      uint64_t word;
      std::memcpy(&word, text + i * 8, 8);
      m.name[i].store(word, std::memory_order_release);
    }
    m.sequence.store(sequence, std::memory_order_release);
    m.inside.store(1, std::memory_order_release);
  });
}

void BoardWriter::LeaveCollective() {
  Update([](BoardMemory& m) { m.inside.store(0, std::memory_order_release); });
}

std::string BoardSnapshot::text() const {
  std::string result = std::string(Name(phase)) + ", step " + std::to_string(step);
  if (!collective.empty()) {
    result += std::string(inside_collective ? ", in " : ", after ") + collective + " " +
              std::to_string(sequence);
  }
  return result;
}

std::optional<BoardSnapshot> ReadBoard(const std::filesystem::path& path) {
  BoardMemory* const memory = Map(path, false);
  if (memory == nullptr) return std::nullopt;
  std::optional<BoardSnapshot> result;
  // A rank killed inside an update leaves an odd version for ever: so many looks, then give up.
  for (int look = 0; look < 1000 && !result; ++look) {
    const uint64_t before = memory->version.load(std::memory_order_acquire);
    if (memory->magic.load(std::memory_order_acquire) != kMagic || before % 2 != 0) continue;
    BoardSnapshot snapshot = Copy(*memory);
    if (memory->version.load(std::memory_order_relaxed) == before) result = std::move(snapshot);
  }
  munmap(memory, sizeof(BoardMemory));
  return result;
}

}  // namespace moat::rundir
