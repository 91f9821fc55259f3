// Bugs on request, one per kind that a sanitizer stage must catch: a stage that lets one pass is
// blind. `planted_bugs none` must end well.
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

// Kept from the optimiser's eyes.
volatile int g_zero = 0;
volatile int g_sink = 0;
int g_shared = 0;
void* volatile g_lost = nullptr;

void HeapOverflow() {
  const std::unique_ptr<int[]> numbers(new int[4]());
  g_sink = numbers[static_cast<size_t>(4 + g_zero)];
}

void UseAfterFree() {
  auto* const number = new int(7);
  delete number;
  g_sink = *static_cast<volatile int*>(number);
}

void Leak() {
  g_lost = new std::string(1000, 'x');
  g_lost = nullptr;
}

void SignedOverflow() {
  int large = std::numeric_limits<int>::max();
  large += 1 + g_zero;
  g_sink = large;
}

void ShiftTooFar() { g_sink = 1 << (40 + g_zero); }

void Race() {
  std::thread other([] { ++g_shared; });
  ++g_shared;
  other.join();
}

struct Bug {
  const char* name;
  void (*plant)();
};

constexpr Bug kBugs[] = {
    {"none", [] {}}, {"heap_overflow", HeapOverflow},     {"use_after_free", UseAfterFree},
    {"leak", Leak},  {"signed_overflow", SignedOverflow}, {"shift_too_far", ShiftTooFar},
    {"race", Race}};

}  // namespace

int main(int argc, char** argv) {
  for (const Bug& bug : kBugs) {
    if (argc != 2 || std::strcmp(argv[1], bug.name) != 0) continue;
    bug.plant();
    return 0;
  }
  std::fprintf(stderr, "planted_bugs: name one bug\n");
  return 2;
}
