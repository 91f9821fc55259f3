// Collectives through a shared segment, piece by piece.
#include "comm/shared_memory.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "comm/block.h"
#include "comm/reduction_tree.h"

namespace moat::comm {
namespace {

// One rank's line in the segment. Zeroed memory is its initial state.
struct alignas(64) Line {
  std::atomic<uint64_t> arrivals;
  // By parity of the collective: a rank cannot be two collectives ahead of a peer.
  Call::Words calls[2];
};
static_assert(sizeof(Line) == 64 && std::atomic<uint64_t>::is_always_lock_free);

void Copy(void* to, const void* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}

class SharedMemoryCommunicator : public Communicator {
 public:
  SharedMemoryCommunicator(const std::string& name, int rank, std::vector<Member> members,
                           SharedSegment segment, int64_t piece_bytes, GroupMaker make)
      : Communicator(name, rank, std::move(members)),
        segment_(std::move(segment)),
        piece_bytes_(piece_bytes),
        make_(std::move(make)) {}

  core::Bytes buffer_bytes() const override {
    return core::Bytes(static_cast<int64_t>(SharedMemorySize(size(), piece_bytes_)));
  }

 protected:
  void DoAllReduce(tensor::View buffer, ReduceOp op, Order, tensor::Stream&) override {
    const int64_t width = piece_bytes_ / core::SizeOf(buffer.dtype);
    ForPieces(buffer.count, width, [&](int64_t begin, int64_t count) {
      const tensor::View piece = buffer.Range(begin, count);
      const Block mine = BlockOf(count, rank(), size());
      CopyAround(mine, piece);
      Arrive();
      ReduceBlock(mine, piece, op);
      Arrive();
      for (int step = 1; step < size(); ++step) {
        const int r = (rank() + step) % size();
        const Block theirs = BlockOf(count, r, size());
        Take(piece.Range(theirs.begin, theirs.count), Slot(r), theirs.begin);
      }
    });
  }

  void DoReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op, Order,
                       tensor::Stream&) override {
    // A piece is a range of columns of all blocks: row r of a slot is what rank r will reduce.
    const int64_t element = core::SizeOf(input.dtype);
    const int64_t width = std::max<int64_t>(1, piece_bytes_ / element / size());
    ForPieces(output.count, width, [&](int64_t begin, int64_t count) {
      for (int r = 0; r < size(); ++r) {
        if (r == rank()) continue;
        const tensor::ConstView row = input.Range(output.count * r + begin, count);
        Copy(Slot(rank()) + r * width * element, row.data, row.bytes().value);
      }
      Arrive();
      std::vector<const void*> sources;
      for (int r = 0; r < size(); ++r) {
        sources.push_back(r == rank() ? input.Range(output.count * r + begin, count).data
                                      : Slot(r) + rank() * width * element);
      }
      ReduceTree(input.dtype, op, sources.data(), size(), count, output.Range(begin, count).data);
      CountReceived(core::Bytes(count * element * (size() - 1)));
    });
  }

  void DoAllGather(tensor::ConstView input, tensor::View output, tensor::Stream&) override {
    const int64_t width = piece_bytes_ / core::SizeOf(input.dtype);
    ForPieces(input.count, width, [&](int64_t begin, int64_t count) {
      const tensor::ConstView piece = input.Range(begin, count);
      const tensor::View own = output.Range(input.count * rank() + begin, count);
      Copy(Slot(rank()), piece.data, piece.bytes().value);
      if (own.data != piece.data) Copy(own.data, piece.data, piece.bytes().value);
      Arrive();
      for (int step = 1; step < size(); ++step) {
        const int r = (rank() + step) % size();
        Take(output.Range(input.count * r + begin, count), Slot(r), 0);
      }
    });
  }

  void DoBroadcast(tensor::View buffer, int root, tensor::Stream&) override {
    const int64_t width = piece_bytes_ / core::SizeOf(buffer.dtype);
    ForPieces(buffer.count, width, [&](int64_t begin, int64_t count) {
      const tensor::View piece = buffer.Range(begin, count);
      if (rank() == root) Copy(Slot(rank()), piece.data, piece.bytes().value);
      Arrive();
      if (rank() != root) Take(piece, Slot(root), 0);
    });
  }

  void DoBarrier() override {
    ForPieces(0, 1, [&](int64_t, int64_t) { Arrive(); });
  }

  std::unique_ptr<Communicator> DoGroup(const std::string& name,
                                        const std::vector<int>& ranks) override {
    return make_(name, keeper().WorldRanks(ranks));
  }

 private:
  Line& line(int r) { return reinterpret_cast<Line*>(segment_.data())[r]; }

  // The half of rank r's slot that belongs to the piece at hand.
  char* Slot(int r) {
    char* const slots = segment_.data() + size() * static_cast<int64_t>(sizeof(Line));
    return slots + (2 * r + static_cast<int64_t>(pieces_ % 2)) * piece_bytes_;
  }

  // Runs body(begin, count) for each piece, at least once, so that ranks meet and compare calls
  // even where there is nothing to move.
  template <typename Body>
  void ForPieces(int64_t count, int64_t width, const Body& body) {
    line(rank()).calls[keeper().sequence() % 2] = keeper().call().words();
    calls_compared_ = false;
    int64_t begin = 0;
    do {
      body(begin, std::min(width, count - begin));
      ++pieces_;
      begin += width;
    } while (begin < count);
  }

  // Returns when all ranks have come to the same point; what each wrote before it is visible then.
  void Arrive() {
    ++arrivals_;
    line(rank()).arrivals.store(arrivals_, std::memory_order_release);
    int seen = 0;
    const auto arrived = [&](int r) {
      return line(r).arrivals.load(std::memory_order_acquire) >= arrivals_;
    };
    keeper().Wait(
        [&] {
          while (seen < size() && arrived(seen)) ++seen;
          return seen == size();
        },
        [&] {
          std::vector<int> missing;
          for (int r = 0; r < size(); ++r) {
            if (!arrived(r)) missing.push_back(r);
          }
          return missing;
        });
    if (!calls_compared_) CompareCalls();
  }

  void CompareCalls() {
    calls_compared_ = true;
    std::vector<Call::Words> calls;
    for (int r = 0; r < size(); ++r) calls.push_back(line(r).calls[keeper().sequence() % 2]);
    keeper().CheckSameCall(calls);
  }

  // Puts a piece into the own slot, but for the own block: its owner alone reads that, at home.
  void CopyAround(const Block& mine, tensor::ConstView piece) {
    const int64_t element = core::SizeOf(piece.dtype);
    const auto* const from = static_cast<const char*>(piece.data);
    const int64_t end = mine.begin + mine.count;
    Copy(Slot(rank()), from, mine.begin * element);
    Copy(Slot(rank()) + end * element, from + end * element, (piece.count - end) * element);
  }

  // Reduces the own block over all ranks into the piece, and puts it in the slot for the others.
  void ReduceBlock(const Block& mine, tensor::View piece, ReduceOp op) {
    const tensor::View block = piece.Range(mine.begin, mine.count);
    const int64_t offset = mine.begin * core::SizeOf(piece.dtype);
    std::vector<const void*> sources;
    for (int r = 0; r < size(); ++r) {
      sources.push_back(r == rank() ? block.data : Slot(r) + offset);
    }
    ReduceTree(piece.dtype, op, sources.data(), size(), mine.count, block.data);
    Copy(Slot(rank()) + offset, block.data, block.bytes().value);
    CountReceived(core::Bytes(block.bytes().value * (size() - 1)));
  }

  void Take(tensor::View to, const char* slot, int64_t begin) {
    Copy(to.data, slot + begin * core::SizeOf(to.dtype), to.bytes().value);
    CountReceived(to.bytes());
  }

  SharedSegment segment_;
  int64_t piece_bytes_;
  GroupMaker make_;
  uint64_t arrivals_ = 0;
  uint64_t pieces_ = 0;
  bool calls_compared_ = false;
};

}  // namespace

size_t SharedMemorySize(int ranks, int64_t piece_bytes) {
  return static_cast<size_t>(ranks) * (sizeof(Line) + 2 * static_cast<size_t>(piece_bytes));
}

std::unique_ptr<Communicator> MakeSharedMemoryCommunicator(const std::string& name, int rank,
                                                           std::vector<Member> members,
                                                           SharedSegment segment,
                                                           int64_t piece_bytes, GroupMaker make) {
  return std::make_unique<SharedMemoryCommunicator>(
      name, rank, std::move(members), std::move(segment), piece_bytes, std::move(make));
}

}  // namespace moat::comm
