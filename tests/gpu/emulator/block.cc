// Fibers: each has a stack of its own; switching is a jump between stacks.
//
// A fiber is made once (ucontext) and kept for all blocks; from then on setjmp and longjmp switch,
// which make no system call.
#include "tests/gpu/emulator/block.h"

#include <ucontext.h>
#include <csetjmp>

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "tests/gpu/emulator/include/cuda_runtime.h"

namespace moat::emulator {
namespace {

constexpr size_t kStackBytes = 256 << 10;
constexpr unsigned kMostThreads = 1024;
constexpr size_t kBeyond = 512, kSharedAlignment = 1024;
constexpr char kUntouched = '\xff';

enum class State { kReady, kAtBlock, kAtWarp, kDone };

struct Fiber {
  State state = State::kDone;
  int line = 0;  // where it waits
  unsigned exchanges = 0;
  bool made = false;  // its stack is in use: it waits in its loop, or inside of a kernel
  dim3 thread;
  std::unique_ptr<char[]> stack;
  jmp_buf here;
};

struct Warp {
  alignas(16) char slots[2][32 * kSlotBytes];
};

// All there is of the block that runs: one at a time, whichever host thread lets the device work.
struct {
  std::vector<Fiber> fibers = std::vector<Fiber>(kMostThreads);
  std::vector<Warp> warps = std::vector<Warp>(kMostThreads / 32);
  std::vector<char> shared = std::vector<char>(kMostSharedBytes + kBeyond + kSharedAlignment);
  const std::function<void()>* body = nullptr;
  jmp_buf scheduler;
  unsigned running = 0;
  unsigned threads = 0;
  const char* error = "";
  uint64_t random = 0x9e3779b97f4a7c15ull;
} machine;

// Back to the scheduler until it lets this fiber go on.
void Yield(State state, int line) {
  Fiber& self = machine.fibers[machine.running];
  self.state = state;
  self.line = line;
  if (_setjmp(self.here) == 0) _longjmp(machine.scheduler, 1);
}

void Loop() {
  for (;;) {
    (*machine.body)();
    Yield(State::kDone, 0);
  }
}

void Resume(unsigned index) {
  Fiber& fiber = machine.fibers[index];
  machine.running = index;
  threadIdx = fiber.thread;
  if (_setjmp(machine.scheduler) != 0) return;
  if (fiber.made) _longjmp(fiber.here, 1);
  fiber.made = true;
  fiber.stack = std::make_unique_for_overwrite<char[]>(kStackBytes);
  static ucontext_t start;
  getcontext(&start);
  start.uc_stack.ss_sp = fiber.stack.get();
  start.uc_stack.ss_size = kStackBytes;
  makecontext(&start, Loop, 0);
  setcontext(&start);
}

template <typename Value>
void Shuffle(std::vector<Value>& values) {
  for (size_t i = values.size(); i > 1; --i) {
    std::swap(values[i - 1], values[Random(static_cast<unsigned>(i))]);
  }
}

std::vector<unsigned> RandomOrder(unsigned begin, unsigned end) {
  std::vector<unsigned> order(end - begin);
  std::iota(order.begin(), order.end(), begin);
  Shuffle(order);
  return order;
}

// Do fibers [begin, end) all wait at one place of this kind? Then they go on.
bool Release(unsigned begin, unsigned end, State state) {
  std::vector<Fiber>& fibers = machine.fibers;
  for (unsigned i = begin; i < end; ++i) {
    if (fibers[i].state != state || fibers[i].line != fibers[begin].line) return false;
  }
  for (unsigned i = begin; i < end; ++i) fibers[i].state = State::kReady;
  return true;
}

bool AllDone() {
  return std::all_of(machine.fibers.begin(), machine.fibers.begin() + machine.threads,
                     [](const Fiber& fiber) { return fiber.state == State::kDone; });
}

// Threads [begin, end) as far as they get without the rest of the block.
void RunWarp(unsigned begin, unsigned end) {
  do {
    for (const unsigned i : RandomOrder(begin, end)) {
      if (machine.fibers[i].state == State::kReady) Resume(i);
      if (*machine.error != 0) return;
    }
  } while (Release(begin, end, State::kAtWarp));
}

void RunToTheEnd() {
  const unsigned warps = (machine.threads + 31) / 32;
  while (!AllDone()) {
    for (const unsigned warp : RandomOrder(0, warps)) {
      RunWarp(warp * 32, std::min(machine.threads, warp * 32 + 32));
      if (*machine.error != 0) return;
    }
    if (!AllDone() && !Release(0, machine.threads, State::kAtBlock)) {
      machine.error = "threads wait at different places, or for threads that have ended";
      return;
    }
  }
}

}  // namespace

unsigned Random(unsigned limit) {
  uint64_t& x = machine.random;  // Marsaglia's xorshift
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return static_cast<unsigned>((x >> 32) * limit >> 32);
}

int Lane() { return static_cast<int>(machine.running % 32); }

void SyncBlock(int line) { Yield(State::kAtBlock, line); }

void SyncWarp(unsigned mask, int line) {
  Expect(mask == kAll, "only whole warps meet here");
  Yield(State::kAtWarp, line);
}

void* DynamicShared() {
  void* memory = machine.shared.data();
  size_t room = machine.shared.size();
  return std::align(kSharedAlignment, kMostSharedBytes + kBeyond, memory, room);
}

void Expect(bool holds, const char* what) {
  if (holds) return;
  machine.error = what;
  _longjmp(machine.scheduler, 1);
}

char* NextSlot() {
  Warp& warp = machine.warps[machine.running / 32];
  char* const slots = warp.slots[machine.fibers[machine.running].exchanges++ % 2];
  return slots + static_cast<size_t>(Lane()) * kSlotBytes;
}

const char* RunBlock(unsigned threads_x, unsigned threads_y, size_t shared_bytes,
                     const std::function<void()>& body) {
  machine.threads = threads_x * threads_y;
  machine.body = &body;
  machine.error = "";
  // Beyond what was asked for too: NaN in every element type, and to be found unchanged.
  char* const shared = static_cast<char*>(DynamicShared());
  std::memset(shared, kUntouched, shared_bytes + kBeyond);
  for (unsigned i = 0; i < machine.threads; ++i) {
    machine.fibers[i].state = State::kReady;
    machine.fibers[i].exchanges = 0;
    machine.fibers[i].thread = dim3(i % threads_x, i / threads_x);
  }
  RunToTheEnd();
  const char* const end = shared + shared_bytes;
  if (*machine.error == 0 &&
      std::count(end, end + kBeyond, kUntouched) != std::ptrdiff_t{kBeyond}) {
    machine.error = "a block wrote beyond its shared memory";
  }
  if (*machine.error != 0) {
    for (Fiber& fiber : machine.fibers)
      fiber.made = false;  // some are inside of the kernel for ever
  }
  return machine.error;
}

}  // namespace moat::emulator
