// The prefetcher: one thread, a bounded queue, and errors handed to whoever takes the next batch.
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "core/clock.h"
#include "core/error.h"
#include "data/sample_stream.h"

namespace moat::data {

struct Prefetcher::State {
  State(const SampleStream& samples, std::function<std::vector<uint64_t>(int64_t)> wanted,
        int batches)
      : stream(samples), plan(std::move(wanted)), depth(static_cast<size_t>(batches)) {}

  const SampleStream& stream;
  const std::function<std::vector<uint64_t>(int64_t)> plan;
  const size_t depth;

  std::mutex mutex;  // guards what follows
  std::condition_variable_any changed;
  std::deque<Batch> ready;
  std::exception_ptr error;
  double wait_seconds = 0;

  std::jthread thread;  // last: it uses all of the above

  void Run(const std::stop_token& stop);
};

void Prefetcher::State::Run(const std::stop_token& stop) {
  try {
    for (int64_t i = 0; !stop.stop_requested(); ++i) {
      Batch batch = stream.Read(plan(i));
      std::unique_lock lock(mutex);
      if (!changed.wait(lock, stop, [this] { return ready.size() < depth; })) return;
      ready.push_back(std::move(batch));
      changed.notify_all();
    }
  } catch (...) {
    const std::lock_guard lock(mutex);
    error = std::current_exception();
    changed.notify_all();
  }
}

Prefetcher::Prefetcher(const SampleStream& stream,
                       std::function<std::vector<uint64_t>(int64_t)> plan, int depth) {
  MOAT_CHECK(depth > 0, "the prefetcher holds at least one micro-batch");
  state_ = std::make_unique<State>(stream, std::move(plan), depth);
  State* state = state_.get();
  state->thread = std::jthread([state](const std::stop_token& stop) { state->Run(stop); });
}

Prefetcher::~Prefetcher() = default;

Batch Prefetcher::Next() {
  std::unique_lock lock(state_->mutex);
  if (state_->ready.empty()) {
    const double start = core::MonotonicSeconds();
    state_->changed.wait(lock, [this] { return !state_->ready.empty() || state_->error; });
    state_->wait_seconds += core::MonotonicSeconds() - start;
  }
  if (state_->ready.empty()) std::rethrow_exception(state_->error);  // after the good ones
  Batch batch = std::move(state_->ready.front());
  state_->ready.pop_front();
  state_->changed.notify_all();
  return batch;
}

double Prefetcher::wait_seconds() const {
  const std::lock_guard lock(state_->mutex);
  return state_->wait_seconds;
}

}  // namespace moat::data
