// EncodingPool: interactions become tokens on all cores, and come out in the order they went in.
//
// Batches wait in one line. Workers encode whichever is next; one writer takes them from the front
// as they are done. The line is short, so memory stays bounded and the reader is slowed to the pace
// of the workers. Which thread encodes a batch, and where batches end, changes nothing in what
// comes out.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "data/chat_template.h"
#include "data/interaction.h"
#include "data/shard_writer.h"
#include "data/tokenizer.h"

namespace moat::data {

// An interaction ready for a shard.
struct EncodedRecord {
  Interaction interaction;
  size_t split = 0;  // as given
  EncodedInteraction encoded;
  StoredIds ids;
};

class EncodingPool {
 public:
  using Write = std::function<void(const EncodedRecord&)>;

  // `write` is called from one thread, record by record. `key` hashes ids (user_key.h).
  EncodingPool(const Tokenizer& tokenizer, std::string key, int threads, Write write);
  ~EncodingPool();  // gives up what is not written
  EncodingPool(const EncodingPool&) = delete;
  EncodingPool& operator=(const EncodingPool&) = delete;

  // Waits while the line is full. Throws what a worker or `write` threw. From one thread only.
  void Add(Interaction interaction, size_t split);

  // Waits until everything is written. Throws as Add. The pool is finished after that.
  void Finish();

 private:
  struct Batch {
    std::vector<EncodedRecord> records;
    bool encoded = false;
  };

  void Submit();
  void EncodeBatches();
  void WriteBatches();
  void Encode(EncodedRecord* record) const;
  void Guarded(const std::function<void()>& work);

  const Tokenizer& tokenizer_;
  std::string key_;
  Write write_;
  size_t most_in_line_;
  std::shared_ptr<Batch> filling_;
  int64_t filling_bytes_ = 0;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Batch>> line_;  // not written yet, oldest first
  std::deque<std::shared_ptr<Batch>> to_encode_;
  bool closed_ = false;  // nothing will be added
  std::exception_ptr error_;

  std::vector<std::jthread> threads_;
};

}  // namespace moat::data
