// OrderedPool: items are worked on by all cores and come out in the order they went in.
//
// Batches of items wait in one line. Workers take whichever is next; one consumer takes them from
// the front as they are done. The line is short in batches and in bytes, so memory stays bounded
// and whoever adds is slowed to the pace of the workers. Which thread works on a batch, and where
// batches end, changes nothing in what comes out.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace moat::data {

template <typename Item>
class OrderedPool {
 public:
  // `work` is called from many threads at once, `consume` from one, item by item in order.
  OrderedPool(int threads, std::function<void(Item&)> work, std::function<void(Item&)> consume)
      : work_(std::move(work)),
        consume_(std::move(consume)),
        most_in_line_(4 * static_cast<size_t>(threads) + 4),
        filling_(std::make_shared<Batch>()) {
    try {
      for (int i = 0; i < threads; ++i) {
        threads_.emplace_back([this] { Guarded([this] { WorkOnBatches(); }); });
      }
      threads_.emplace_back([this] { Guarded([this] { ConsumeBatches(); }); });
    } catch (...) {  // no more threads to be had: those there are would wait for ever
      GiveUp(nullptr);
      throw;
    }
  }

  ~OrderedPool() {  // gives up what is not consumed
    GiveUp(nullptr);
    threads_.clear();
  }
  OrderedPool(const OrderedPool&) = delete;
  OrderedPool& operator=(const OrderedPool&) = delete;

  // Waits while the line is full. `bytes` of text are in the item: they decide how many make a
  // batch. Throws what `work` or `consume` threw. From one thread only.
  void Add(Item item, int64_t bytes) {
    filling_bytes_ += bytes;
    filling_->items.push_back(std::move(item));
    if (filling_bytes_ >= kBatchBytes || filling_->items.size() >= kBatchItems) Submit();
  }

  // Waits until everything is consumed. Throws as Add. The pool is finished after that.
  void Finish() {
    if (!filling_->items.empty()) Submit();
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
    threads_.clear();  // joins: each ends when there is nothing left for it
    if (error_) std::rethrow_exception(error_);
  }

 private:
  static constexpr int64_t kBatchBytes = 256 << 10;
  static constexpr size_t kBatchItems = 2048;
  static constexpr int64_t kMostBytesInLine = 64 << 20;  // and one batch more; for giant items
  struct Batch {
    std::vector<Item> items;
    int64_t bytes = 0;
    bool done = false;
  };

  void GiveUp(std::exception_ptr error) {
    {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::move(error);
      closed_ = true;
      to_do_.clear();
      line_.clear();
    }
    changed_.notify_all();
  }

  // Runs a thread; what it throws ends the others and is thrown to the caller.
  void Guarded(const std::function<void()>& thread) {
    try {
      thread();
    } catch (...) {
      GiveUp(std::current_exception());
    }
  }

  void Submit() {
    filling_->bytes = filling_bytes_;
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] {
      return error_ || (line_.size() < most_in_line_ && bytes_in_line_ < kMostBytesInLine);
    });
    if (error_) std::rethrow_exception(error_);
    bytes_in_line_ += filling_->bytes;
    line_.push_back(filling_);
    to_do_.push_back(filling_);
    lock.unlock();
    changed_.notify_all();
    filling_ = std::make_shared<Batch>();
    filling_bytes_ = 0;
  }

  void WorkOnBatches() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return closed_ || !to_do_.empty(); });
      if (to_do_.empty()) return;
      const std::shared_ptr<Batch> batch = to_do_.front();
      to_do_.pop_front();
      lock.unlock();
      for (Item& item : batch->items) work_(item);
      lock.lock();
      batch->done = true;
      lock.unlock();
      changed_.notify_all();
    }
  }

  void ConsumeBatches() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return line_.empty() ? closed_ : line_.front()->done; });
      if (line_.empty()) return;
      const std::shared_ptr<Batch> batch = line_.front();
      line_.pop_front();
      bytes_in_line_ -= batch->bytes;
      lock.unlock();
      changed_.notify_all();
      for (Item& item : batch->items) consume_(item);
    }
  }

  std::function<void(Item&)> work_, consume_;
  size_t most_in_line_;
  std::shared_ptr<Batch> filling_;
  int64_t filling_bytes_ = 0;

  std::mutex mutex_;  // guards what follows; batches are large, so it is rarely taken
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Batch>> line_;   // not consumed yet, oldest first
  std::deque<std::shared_ptr<Batch>> to_do_;  // of them, those no worker has taken
  int64_t bytes_in_line_ = 0;
  bool closed_ = false;  // nothing will be added
  std::exception_ptr error_;

  std::vector<std::jthread> threads_;  // last: they use all of the above
};

}  // namespace moat::data
