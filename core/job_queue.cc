// A thread that runs jobs in order.
#include "core/job_queue.h"

#include <sys/resource.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace moat::core {

struct JobQueue::State {
  mutable std::mutex mutex;  // guards what follows
  std::condition_variable_any changed;
  std::deque<std::function<void()>> jobs;  // the first one may be running
  int64_t given = 0, done = 0;
  std::exception_ptr failure;
  std::jthread thread;  // last: it uses all of the above

  void Run(const std::stop_token& stop) {
    std::unique_lock lock(mutex);
    while (changed.wait(lock, stop, [&] { return !jobs.empty(); }) && !stop.stop_requested()) {
      lock.unlock();
      std::exception_ptr thrown;
      try {
        jobs.front()();
      } catch (...) {
        thrown = std::current_exception();
      }
      lock.lock();
      jobs.pop_front();
      ++done;
      if (thrown) {
        failure = thrown;
        jobs.clear();
      }
      changed.notify_all();
    }
  }
};

JobQueue::JobQueue(Priority priority) : state_(std::make_unique<State>()) {
  state_->thread = std::jthread([state = state_.get(), priority](const std::stop_token& stop) {
    // Linux keeps priorities by thread. One that cannot be lowered is only less polite.
    if (priority == Priority::kBackground) {
      setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10);
    }
    state->Run(stop);
  });
}

JobQueue::~JobQueue() = default;  // the thread is asked to stop, and joined

int64_t JobQueue::Add(std::function<void()> job) {
  const std::lock_guard lock(state_->mutex);
  if (!state_->failure) state_->jobs.push_back(std::move(job));  // else Wait() says so
  state_->changed.notify_all();
  return ++state_->given;
}

void JobQueue::WaitFor(int64_t jobs) {
  std::unique_lock lock(state_->mutex);
  state_->changed.wait(lock, [&] { return state_->done >= jobs || state_->failure; });
  if (state_->failure) std::rethrow_exception(state_->failure);
}

void JobQueue::Wait() {
  std::unique_lock lock(state_->mutex);
  const int64_t all = state_->given;
  lock.unlock();
  WaitFor(all);
}

bool JobQueue::idle() const {
  const std::lock_guard lock(state_->mutex);
  return state_->jobs.empty();
}

}  // namespace moat::core
