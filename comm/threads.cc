// Ranks as threads: shared state of a group, and the collectives over it.
#include "comm/threads.h"

#include <atomic>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "comm/block.h"
#include "comm/reduction_tree.h"

namespace moat::comm {
namespace {

// The end of a Run(): the first exception of any rank, which releases all others.
class Failure {
 public:
  void Set(int rank) {  // in a catch block
    const std::lock_guard lock(mutex_);
    if (first_) return;
    first_ = std::current_exception();
    rank_ = rank;
    failed_.store(true, std::memory_order_release);
  }
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  [[noreturn]] void Throw() const {
    throw core::PeerError("lost peer: rank " + std::to_string(rank_) + " ended with an error");
  }
  void Rethrow() const {
    if (first_) std::rethrow_exception(first_);
  }

 private:
  std::mutex mutex_;
  std::atomic<bool> failed_{false};
  std::exception_ptr first_;
  int rank_ = -1;
};

struct alignas(64) Post {
  std::atomic<uint64_t> arrivals{0};
  // Written by the rank before it arrives, read by its peers after they have seen it arrive.
  const void* data = nullptr;
  Call::Words call{};
};

struct GroupState;
using GroupKey = std::pair<uint64_t, std::vector<int>>;  // number of the Group() call, ranks

struct GroupState {
  GroupState(std::vector<Member> group_members, std::shared_ptr<Failure> run_failure)
      : members(std::move(group_members)), posts(members.size()), failure(std::move(run_failure)) {}
  std::vector<Member> members;
  std::vector<Post> posts;
  std::shared_ptr<Failure> failure;
  std::mutex mutex;  // of `groups`
  std::map<GroupKey, std::shared_ptr<GroupState>> groups;
};

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(const std::string& name, int rank, std::shared_ptr<GroupState> state)
      : Communicator(name, rank, state->members), state_(std::move(state)) {}

 protected:
  void DoAllReduce(tensor::View buffer, ReduceOp op, Order, tensor::Stream&) override {
    Publish(buffer.data);
    // Block r of every buffer is read by rank r alone, so rank r may put its sum there at once.
    const Block mine = BlockOf(buffer.count, rank(), size());
    Reduce(buffer.Range(mine.begin, mine.count), mine.begin, op);
    Arrive();
    for (int r = 0; r < size(); ++r) {
      if (r == rank()) continue;
      const Block theirs = BlockOf(buffer.count, r, size());
      CopyFrom(r, theirs.begin, buffer.Range(theirs.begin, theirs.count));
    }
    Arrive();
  }

  void DoReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op, Order,
                       tensor::Stream&) override {
    Publish(input.data);
    Reduce(output, output.count * rank(), op);
    Arrive();
  }

  void DoAllGather(tensor::ConstView input, tensor::View output, tensor::Stream&) override {
    Publish(input.data);
    const tensor::View own = output.Range(input.count * rank(), input.count);
    if (own.data != input.data && input.count > 0) {
      std::memcpy(own.data, input.data, static_cast<size_t>(input.bytes().value));
    }
    for (int r = 0; r < size(); ++r) {
      if (r != rank()) CopyFrom(r, 0, output.Range(input.count * r, input.count));
    }
    Arrive();
  }

  void DoBroadcast(tensor::View buffer, int root, tensor::Stream&) override {
    Publish(buffer.data);
    if (rank() != root) CopyFrom(root, 0, buffer);
    Arrive();
  }

  void DoBarrier() override { Publish(nullptr); }

  std::unique_ptr<Communicator> DoGroup(const std::string& name,
                                        const std::vector<int>& ranks) override {
    std::vector<Member> members;
    int new_rank = 0;
    for (size_t i = 0; i < ranks.size(); ++i) {
      members.push_back(state_->members[static_cast<size_t>(ranks[i])]);
      if (ranks[i] == rank()) new_rank = static_cast<int>(i);
    }
    const std::lock_guard lock(state_->mutex);
    auto& group = state_->groups[{groups_made_++, ranks}];
    if (!group) group = std::make_shared<GroupState>(std::move(members), state_->failure);
    return std::make_unique<ThreadCommunicator>(name, new_rank, group);
  }

 private:
  Post& post(int r) { return state_->posts[static_cast<size_t>(r)]; }

  // Returns when all ranks have come to the same point.
  void Arrive() {
    ++arrivals_;
    post(rank()).arrivals.store(arrivals_, std::memory_order_release);
    const auto missing = [&] {
      std::vector<int> ranks;
      for (int r = 0; r < size(); ++r) {
        if (post(r).arrivals.load(std::memory_order_acquire) < arrivals_) ranks.push_back(r);
      }
      return ranks;
    };
    int seen = 0;
    const auto all_arrived = [&] {
      while (seen < size() && post(seen).arrivals.load(std::memory_order_acquire) >= arrivals_) {
        ++seen;
      }
      return seen == size();
    };
    // A peer that has arrived and failed later does not fail this step.
    const auto ready = [&] {
      if (all_arrived()) return true;
      if (state_->failure->failed() && !all_arrived()) state_->failure->Throw();
      return false;
    };
    keeper().Wait(ready, missing);
  }

  // The first step of every collective: peers may read `data` until the last Arrive(). A peer that
  // is one collective ahead would overwrite its call while it is read here, but it cannot be: after
  // the barrier every rank has still to pass the next Arrive(), so calls alternate between two.
  void Publish(const void* data) {
    post(rank()).data = data;
    post(rank()).call = keeper().call().words();
    Arrive();
    std::vector<Call::Words> calls;
    for (int r = 0; r < size(); ++r) calls.push_back(post(r).call);
    if (keeper().call().moves_nothing() || !AllSame(calls)) Arrive();
    keeper().CheckSameCall(calls);
  }

  static bool AllSame(const std::vector<Call::Words>& calls) {
    for (const Call::Words& call : calls) {
      if (call != calls[0]) return false;
    }
    return true;
  }

  void Reduce(tensor::View output, int64_t begin, ReduceOp op) {
    std::vector<const void*> sources;
    for (int r = 0; r < size(); ++r) sources.push_back(From(r, begin, output.dtype));
    ReduceTree(output.dtype, op, sources.data(), size(), output.count, output.data);
    CountReceived(core::Bytes(output.bytes().value * (size() - 1)));
  }

  void CopyFrom(int r, int64_t begin, tensor::View output) {
    if (output.count == 0) return;
    std::memcpy(output.data, From(r, begin, output.dtype),
                static_cast<size_t>(output.bytes().value));
    CountReceived(output.bytes());
  }

  const void* From(int r, int64_t begin, core::DType dtype) {
    return static_cast<const char*>(post(r).data) + begin * core::SizeOf(dtype);
  }

  std::shared_ptr<GroupState> state_;
  uint64_t arrivals_ = 0;
  uint64_t groups_made_ = 0;
};

}  // namespace

void ThreadGroup::Run(int ranks, const std::function<void(Communicator& world)>& body,
                      double deadline_seconds, int ranks_per_node) {
  std::vector<Member> members;
  for (int r = 0; r < ranks; ++r) {
    members.push_back({r, "", ranks_per_node > 0 ? r - r % ranks_per_node : 0});
  }
  auto failure = std::make_shared<Failure>();
  auto state = std::make_shared<GroupState>(members, failure);
  std::vector<std::thread> threads;
  for (int r = 0; r < ranks; ++r) {
    threads.emplace_back([&, r] {
      try {
        ThreadCommunicator world("world", r, state);
        world.SetDeadline(deadline_seconds);
        body(world);
      } catch (...) {
        failure->Set(r);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  failure->Rethrow();
}

}  // namespace moat::comm
