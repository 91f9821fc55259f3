// The tree by messages between threads, against the threads communicator: the same bits.
#include "comm/tree_exchange.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <utility>
#include <vector>

#include "comm/threads.h"
#include "tensor/ops.h"
#include "tests/conformance/communicator_suite.h"

namespace moat::comm {
namespace {

using Sent = std::map<std::pair<int, int>, std::vector<tensor::ConstView>>;  // from, to

// Messages through a map that all ranks share; receives and sends of a pair meet in their order.
class ThreadLink {
 public:
  ThreadLink(Communicator& group, std::vector<Sent>& boards) : group_(group), boards_(boards) {}

  void Send(tensor::ConstView view, int to) { mine()[{group_.rank(), to}].push_back(view); }
  void Receive(tensor::View view, int from) { receives_[from].push_back(view); }
  void Exchange() {
    group_.Barrier();
    for (const auto& [from, views] : receives_) {
      const auto& sent = boards_[static_cast<size_t>(from)][{from, group_.rank()}];
      EXPECT_EQ(sent.size(), views.size());
      for (size_t i = 0; i < views.size(); ++i) {
        tensor::Copy(sent[i], views[i], stream_);
        received_ += views[i].bytes().value;
      }
    }
    group_.Barrier();
    receives_.clear();
    mine().clear();
  }
  void Add(tensor::ConstView x, tensor::View y) { tensor::Add(x, y, stream_); }
  void Copy(tensor::ConstView x, tensor::View y) { tensor::Copy(x, y, stream_); }
  int64_t received() const { return received_; }

 private:
  Sent& mine() { return boards_[static_cast<size_t>(group_.rank())]; }

  Communicator& group_;
  std::vector<Sent>& boards_;
  std::map<int, std::vector<tensor::View>> receives_;
  tensor::Stream stream_;
  int64_t received_ = 0;
};

class TreeExchangeOfSize : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Sizes, TreeExchangeOfSize, ::testing::Values(2, 3, 4, 5, 6, 7, 8));

std::vector<float> Inputs(int rank, int64_t count) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(testing::RandomValue(rank, i));
  return values;
}

bool SameBits(const float* a, const float* b, int64_t count) {
  return count == 0 || std::memcmp(a, b, static_cast<size_t>(count) * sizeof(float)) == 0;
}

TEST_P(TreeExchangeOfSize, HasTheBitsOfTheThreadsCommunicatorInPiecesOfAnySize) {
  std::vector<Sent> boards(static_cast<size_t>(GetParam()));
  ThreadGroup::Run(GetParam(), [&](Communicator& world) {
    tensor::Stream stream;
    const int n = world.size(), me = world.rank();
    for (const int64_t piece : {int64_t{1}, int64_t{7}, int64_t{64}, int64_t{1} << 12}) {
      std::vector<float> scratch(static_cast<size_t>(piece * (n - 1)));
      ThreadLink link(world, boards);
      TreeExchange<ThreadLink> tree(me, n, tensor::HostView(scratch.data(), std::ssize(scratch)),
                                    link);
      for (const int64_t count : {0, 1, 15, 17, 16 * n + 1, 333}) {
        std::vector<float> want = Inputs(me, count), got = want;
        world.AllReduce(tensor::HostView(want.data(), count), ReduceOp::kSum, Order::kTree, stream);
        tree.AllReduce(tensor::HostView(got.data(), count));
        EXPECT_TRUE(SameBits(want.data(), got.data(), count)) << "all-reduce of " << count;

        const std::vector<float> input = Inputs(me, count * n);
        std::vector<float> block(static_cast<size_t>(count)), in_place = input, apart = block;
        world.ReduceScatter(tensor::HostView(input.data(), count * n),
                            tensor::HostView(block.data(), count), ReduceOp::kSum, Order::kTree,
                            stream);
        tree.ReduceScatter(tensor::HostView(input.data(), count * n),
                           tensor::HostView(apart.data(), count));
        EXPECT_EQ(input, Inputs(me, count * n));
        float* const own = in_place.data() + me * count;
        tree.ReduceScatter(tensor::HostView(std::as_const(in_place).data(), count * n),
                           tensor::HostView(own, count));
        EXPECT_TRUE(SameBits(block.data(), apart.data(), count)) << "reduce-scatter of " << count;
        EXPECT_TRUE(SameBits(block.data(), own, count)) << "in place, of " << count;
      }
    }
  });
}

TEST_P(TreeExchangeOfSize, ReceivesWhatARingWould) {
  std::vector<Sent> boards(static_cast<size_t>(GetParam()));
  ThreadGroup::Run(GetParam(), [&](Communicator& world) {
    const int64_t n = world.size(), count = 64 * n;
    std::vector<float> scratch(static_cast<size_t>(100 * (n - 1))),
        buffer(static_cast<size_t>(count));
    ThreadLink link(world, boards);
    TreeExchange<ThreadLink>(world.rank(), world.size(),
                             tensor::HostView(scratch.data(), std::ssize(scratch)), link)
        .AllReduce(tensor::HostView(buffer.data(), count));
    EXPECT_EQ(link.received(), 4 * 2 * (n - 1) * count / n);
  });
}

}  // namespace
}  // namespace moat::comm
