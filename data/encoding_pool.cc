// One mutex and one condition: batches are large, so both are rarely touched.
#include "data/encoding_pool.h"

#include "data/user_key.h"

namespace moat::data {
namespace {

constexpr int64_t kBatchBytes = 256 << 10;  // of text
constexpr size_t kBatchInteractions = 2048;

}  // namespace

EncodingPool::EncodingPool(const Tokenizer& tokenizer, std::string key, int threads, Write write)
    : tokenizer_(tokenizer),
      key_(std::move(key)),
      write_(std::move(write)),
      most_in_line_(4 * static_cast<size_t>(threads) + 4),
      filling_(std::make_shared<Batch>()) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { Guarded([this] { EncodeBatches(); }); });
  }
  threads_.emplace_back([this] { Guarded([this] { WriteBatches(); }); });
}

EncodingPool::~EncodingPool() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    to_encode_.clear();
    line_.clear();
  }
  changed_.notify_all();
  threads_.clear();
}

// Runs a thread's work; what it throws ends the others' and is thrown to the caller.
void EncodingPool::Guarded(const std::function<void()>& work) {
  try {
    work();
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    closed_ = true;
    to_encode_.clear();
    line_.clear();
  }
  changed_.notify_all();
}

void EncodingPool::Add(Interaction interaction, size_t split) {
  filling_bytes_ += interaction.TextBytes();
  filling_->records.push_back({std::move(interaction), split, {}, {}});
  if (filling_bytes_ >= kBatchBytes || filling_->records.size() >= kBatchInteractions) Submit();
}

void EncodingPool::Submit() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return error_ || line_.size() < most_in_line_; });
  if (error_) std::rethrow_exception(error_);
  line_.push_back(filling_);
  to_encode_.push_back(filling_);
  lock.unlock();
  changed_.notify_all();
  filling_ = std::make_shared<Batch>();
  filling_bytes_ = 0;
}

void EncodingPool::Finish() {
  if (!filling_->records.empty()) Submit();
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  threads_.clear();  // joins: each ends when there is nothing left for it
  if (error_) std::rethrow_exception(error_);
}

void EncodingPool::Encode(EncodedRecord* record) const {
  const Interaction& interaction = record->interaction;
  record->encoded = data::Encode(tokenizer_, interaction);
  record->ids.id = HashOfId(key_, interaction.id);
  record->ids.user = interaction.user.empty() ? record->ids.id : HashOfUser(key_, interaction.user);
  if (!interaction.request.empty()) record->ids.request = HashOfRequest(key_, interaction.request);
}

void EncodingPool::EncodeBatches() {
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_ || !to_encode_.empty(); });
    if (to_encode_.empty()) return;
    const std::shared_ptr<Batch> batch = to_encode_.front();
    to_encode_.pop_front();
    lock.unlock();
    for (EncodedRecord& record : batch->records) Encode(&record);
    lock.lock();
    batch->encoded = true;
    lock.unlock();
    changed_.notify_all();
  }
}

void EncodingPool::WriteBatches() {
  for (;;) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return line_.empty() ? closed_ : line_.front()->encoded; });
    if (line_.empty()) return;
    const std::shared_ptr<Batch> batch = line_.front();
    line_.pop_front();
    lock.unlock();
    changed_.notify_all();
    for (const EncodedRecord& record : batch->records) write_(record);
  }
}

}  // namespace moat::data
