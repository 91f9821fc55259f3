// Requests to stop.
#include "core/signals.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>

#include "core/error.h"

namespace moat::core {
namespace {

constexpr std::array kSignals = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};

std::atomic<int> g_first{0};
std::atomic<uint32_t> g_heard{0};
std::atomic<std::atomic<uint32_t>*> g_count{nullptr};
std::atomic<bool> g_installed{false};
std::atomic<bool> g_second_ends{true};
std::array<struct sigaction, kSignals.size()> g_previous;
static_assert(std::atomic<int>::is_always_lock_free, "a handler may use lock-free atomics only");

// Handlers run on a stack of their own: oneDNN's generated kernels let the stack pointer point into
// the heap, and a signal frame written there would overwrite whatever lies below it. A process's
// signals go to its main thread, so one such stack is enough.
alignas(64) std::array<char, 64 << 10> g_stack;

void Show(uint32_t heard) {
  if (std::atomic<uint32_t>* const count = g_count.load()) count->store(heard);
}

void OnSignal(int number) {
  Show(++g_heard);
  int none = 0;
  if (!g_first.compare_exchange_strong(none, number) && g_second_ends) _exit(128 + number);
}

}  // namespace

StopRequest::StopRequest(SecondSignal second) {
  MOAT_CHECK(!g_installed.exchange(true), "one StopRequest at a time");
  g_second_ends = second == SecondSignal::kEndsTheProcess;
  g_first = 0;
  g_heard = 0;
  stack_t stack = {};
  stack.ss_sp = g_stack.data();
  stack.ss_size = g_stack.size();
  MOAT_CHECK(sigaltstack(&stack, nullptr) == 0, "a stack for signals");
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  action.sa_flags = SA_RESTART | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &g_previous[i]);
}

StopRequest::~StopRequest() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &g_previous[i], nullptr);
  g_first = 0;
  g_count = nullptr;
  g_installed = false;
}

void StopRequest::CountIn(std::atomic<uint32_t>* count) {
  g_count = count;
  Show(g_heard.load());
}

int StopRequest::signal() const { return g_first; }

int StopRequest::exit_code() const {
  const int first = signal();
  if (first == 0) return 0;
  return static_cast<int>(first == SIGINT ? ExitCode::kStopped : ExitCode::kPreempted);
}

}  // namespace moat::core
