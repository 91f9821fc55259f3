// The board of a rank: sequence locks over a page of shared memory.
#include "rundir/board.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstring>

#include "core/clock.h"
#include "core/error.h"
#include "core/host.h"

namespace moat::rundir {

namespace {

constexpr uint64_t kMagic = 0x32647262746f616dull;  // "maotbrd2"
constexpr size_t kGroups = 6;
constexpr int kRecent = 16;  // phases of one kind in a window of "recent"

constexpr auto kRelaxed = std::memory_order_relaxed;
constexpr auto kRelease = std::memory_order_release;
constexpr auto kAcquire = std::memory_order_acquire;

template <size_t kWords>
using SharedText = std::array<std::atomic<uint64_t>, kWords>;

}  // namespace

// Every field is atomic, so that reading while the rank writes is defined; a `version` is odd while
// its part is written, which tells the reader to look again. Fields are released and acquired
// rather than fenced: whoever sees one of an update sees its odd version, too. (Fences are as good,
// but ThreadSanitizer does not understand them.) Doubles are kept as their bits.
struct GroupMemory {
  std::atomic<uint64_t> version;
  SharedText<2> name;
  SharedText<2> call;
  std::atomic<int64_t> count;
  std::atomic<uint64_t> sequence;
  std::atomic<uint64_t> inside;
  std::atomic<uint64_t> changed_at;
  std::atomic<uint64_t> waited;  // seconds inside collectives so far
};

struct BoardMemory {
  std::atomic<uint64_t> magic;
  std::atomic<uint64_t> version;
  std::atomic<uint32_t> phase;
  std::atomic<uint32_t> requests;  // written by a signal handler: outside of `version`
  std::atomic<int64_t> step;
  std::atomic<int64_t> pid;
  SharedText<8> host;
  std::atomic<uint64_t> phases;
  std::atomic<uint64_t> phase_began;
  std::array<std::atomic<uint64_t>, kPhases> longest;
  std::atomic<uint64_t> steps;
  std::atomic<uint64_t> busy_seconds;
  std::array<GroupMemory, kGroups> groups;
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

template <typename Part, typename Change>
void Update(Part& part, const Change& change) {
  const uint64_t version = part.version.load(kRelaxed);
  part.version.store(version + 1, kRelaxed);
  change(part);
  part.version.store(version + 2, kRelease);
}

void Store(std::atomic<uint64_t>& to, double value) {
  to.store(std::bit_cast<uint64_t>(value), kRelease);
}

double Load(const std::atomic<uint64_t>& from) {
  return std::bit_cast<double>(from.load(kAcquire));
}

template <size_t kWords>
void Store(SharedText<kWords>& to, const char* text) {
  char bytes[kWords * 8] = {};
  std::memcpy(bytes, text, strnlen(text, sizeof bytes - 1));
  for (size_t i = 0; i < kWords; ++i) {
    uint64_t word;
    std::memcpy(&word, bytes + i * 8, 8);
    to[i].store(word, kRelease);
  }
}

template <size_t kWords>
std::string Load(const SharedText<kWords>& from) {
  char bytes[kWords * 8];
  for (size_t i = 0; i < kWords; ++i) {
    const uint64_t word = from[i].load(kAcquire);
    std::memcpy(bytes + i * 8, &word, 8);
  }
  return std::string(bytes, strnlen(bytes, sizeof bytes));
}

BoardSnapshot Copy(const BoardMemory& memory) {
  BoardSnapshot snapshot;
  snapshot.phase = static_cast<Phase>(memory.phase.load(kAcquire));
  snapshot.step = memory.step.load(kAcquire);
  snapshot.pid = memory.pid.load(kAcquire);
  snapshot.host = Load(memory.host);
  snapshot.phases = memory.phases.load(kAcquire);
  snapshot.phase_began = Load(memory.phase_began);
  for (size_t i = 0; i < kPhases; ++i) snapshot.longest[i] = Load(memory.longest[i]);
  snapshot.steps = memory.steps.load(kAcquire);
  snapshot.busy_seconds = Load(memory.busy_seconds);
  snapshot.requests = memory.requests.load(kAcquire);
  return snapshot;
}

BoardGroup Copy(const GroupMemory& memory) {
  BoardGroup group;
  group.name = Load(memory.name);
  group.call = Load(memory.call);
  group.count = memory.count.load(kAcquire);
  group.sequence = memory.sequence.load(kAcquire);
  group.inside = memory.inside.load(kAcquire) != 0;
  group.changed_at = Load(memory.changed_at);
  return group;
}

// A rank killed inside an update leaves an odd version for ever: so many looks, then nullopt.
template <typename Part>
auto CopyWhole(const Part& part) -> std::optional<decltype(Copy(part))> {
  for (int look = 0; look < 1000; ++look) {
    const uint64_t before = part.version.load(kAcquire);
    if (before % 2 != 0) continue;
    auto copy = Copy(part);
    if (part.version.load(kRelaxed) == before) return copy;
  }
  return std::nullopt;
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
  Update(*memory_, [](BoardMemory& m) {
    m.pid.store(getpid(), kRelease);
    Store(m.host, core::HostName().c_str());
  });
  EnterPhase(Phase::kStarting, 0);
  if (stop_ != nullptr) stop_->CountIn(&memory_->requests);
  memory_->magic.store(kMagic, kRelease);
}

BoardWriter::~BoardWriter() {
  if (stop_ != nullptr) stop_->CountIn(nullptr);
  munmap(memory_, sizeof(BoardMemory));
}

double BoardWriter::WaitedInCollectives() const {
  double waited = 0;
  for (const GroupMemory& group : memory_->groups) waited += Load(group.waited);
  return waited;
}

// Inside an update.
void BoardWriter::Learn(Phase phase, double seconds) {
  const auto kind = static_cast<size_t>(phase);
  Recent& recent = recent_[kind];
  recent.longest = std::max(recent.longest, seconds);
  Store(memory_->longest[kind], std::max(recent.longest, recent.before));
  if (++recent.count == kRecent) recent = {0, 0, recent.longest};
}

// Inside an update: what the phase that is left has taken.
void BoardWriter::EndPhase(double now) {
  BoardMemory& m = *memory_;
  const auto phase = static_cast<Phase>(m.phase.load(kRelaxed));
  const double seconds = now - Load(m.phase_began);
  if (phase != Phase::kSaving) Learn(phase, seconds);
  if (phase != Phase::kStep) return;
  m.steps.store(m.steps.load(kRelaxed) + 1, kRelease);
  // A group that works beside the pass may wait for longer than the step takes.
  const double busy = std::max(0.0, seconds - (WaitedInCollectives() - waited_));
  Store(m.busy_seconds, Load(m.busy_seconds) + busy);
}

void BoardWriter::SaveTook(double seconds) {
  Update(*memory_, [&](BoardMemory&) { Learn(Phase::kSaving, seconds); });
}

void BoardWriter::EnterPhase(Phase phase, int64_t step) {
  const double now = core::MonotonicSeconds();
  Update(*memory_, [&](BoardMemory& m) {
    const uint64_t entered = m.phases.load(kRelaxed);
    if (entered > 0) EndPhase(now);
    m.phases.store(entered + 1, kRelease);
    m.phase.store(static_cast<uint32_t>(phase), kRelease);
    m.step.store(step, kRelease);
    Store(m.phase_began, now);
  });
  waited_ = WaitedInCollectives();
}

int BoardWriter::AddGroup(const std::string& name) {
  if (groups_ == static_cast<int>(kGroups)) return -1;
  Update(memory_->groups[static_cast<size_t>(groups_)],
         [&](GroupMemory& m) { Store(m.name, name.c_str()); });
  return groups_++;
}

void BoardWriter::EnterCollective(int group, const char* call, int64_t count, uint64_t sequence) {
  if (group < 0) return;
  Update(memory_->groups[static_cast<size_t>(group)], [&](GroupMemory& m) {
    Store(m.call, call);
    m.count.store(count, kRelease);
    m.sequence.store(sequence, kRelease);
    m.inside.store(1, kRelease);
    Store(m.changed_at, core::MonotonicSeconds());
  });
}

void BoardWriter::LeaveCollective(int group) {
  if (group < 0) return;
  Update(memory_->groups[static_cast<size_t>(group)], [&](GroupMemory& m) {
    const double now = core::MonotonicSeconds();
    Store(m.waited, Load(m.waited) + now - Load(m.changed_at));
    m.inside.store(0, kRelease);
    Store(m.changed_at, now);
  });
}

std::string BoardGroup::text() const {
  return name + " " + call + (count > 0 ? "(" + std::to_string(count) + ")" : "") + " " +
         std::to_string(sequence);
}

bool BoardSnapshot::inside_collective() const {
  return std::any_of(groups.begin(), groups.end(),
                     [](const BoardGroup& group) { return group.inside; });
}

// What it is inside of, else the last collective it left.
std::string BoardSnapshot::text() const {
  std::string text = std::string(Name(phase)) + ", step " + std::to_string(step);
  const BoardGroup* last = nullptr;
  for (const BoardGroup& group : groups) {
    if (group.inside) text += ", in " + group.text();
    if (!group.call.empty() && (last == nullptr || group.changed_at > last->changed_at)) {
      last = &group;
    }
  }
  if (!inside_collective() && last != nullptr) text += ", after " + last->text();
  return text;
}

std::optional<BoardSnapshot> ReadBoard(const std::filesystem::path& path) {
  BoardMemory* const memory = Map(path, false);
  if (memory == nullptr) return std::nullopt;
  std::optional<BoardSnapshot> result;
  if (memory->magic.load(kAcquire) == kMagic) result = CopyWhole(*memory);
  for (const GroupMemory& part : memory->groups) {
    const auto group = result ? CopyWhole(part) : std::nullopt;
    if (group && !group->name.empty()) result->groups.push_back(*group);
  }
  munmap(memory, sizeof(BoardMemory));
  return result;
}

}  // namespace moat::rundir
