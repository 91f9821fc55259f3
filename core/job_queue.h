// JobQueue: jobs run one after the other, in the order given, in a thread of their own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace moat::core {

// kBackground gives way to whatever else wants the processor (nice 10: about a tenth of a core that
// is busy, all of one that is not).
enum class Priority { kNormal, kBackground };

class JobQueue {
 public:
  explicit JobQueue(Priority priority = Priority::kNormal);
  // Drops jobs that have not begun and waits for the one that runs: whoever gives up first sees to
  // it that it ends.
  ~JobQueue();
  JobQueue(const JobQueue&) = delete;

  // Returns how many jobs were given so far, this one included.
  int64_t Add(std::function<void()> job);
  // Returns when the first `jobs` that were given are done. Throws what the first failed one threw;
  // those after it are dropped, and the queue is of no more use.
  void WaitFor(int64_t jobs);
  void Wait();  // for all
  bool idle() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace moat::core
