// Collectives over MPI messages, piece by piece.
#include "comm/mpi_network.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "comm/block.h"
#include "comm/reduction_tree.h"

namespace moat::comm {
namespace {

// Messages between two ranks stay in order per tag, so one tag per kind of message is enough.
constexpr int kCallTag = 1;
constexpr int kBlockTag = 2;
constexpr int kResultTag = 3;

MPI_Datatype TypeOf(core::DType dtype) {
  switch (dtype) {
    case core::DType::kF32:
      return MPI_FLOAT;
    case core::DType::kF64:
      return MPI_DOUBLE;
    case core::DType::kU64:
      return MPI_UINT64_T;
    default:
      return MPI_INT64_T;
  }
}

MPI_Op OpOf(ReduceOp op) {
  return op == ReduceOp::kSum ? MPI_SUM : op == ReduceOp::kMax ? MPI_MAX : MPI_MIN;
}

class NetworkCommunicator : public Communicator {
 public:
  NetworkCommunicator(const std::string& name, int rank, std::vector<Member> members, MPI_Comm comm,
                      int64_t piece_bytes, GroupMaker make)
      : Communicator(name, rank, std::move(members)),
        comm_(comm),
        piece_bytes_(piece_bytes),
        make_(std::move(make)) {
    for (int r = 0; r < size(); ++r) peers_.push_back(r);
  }

  bool concurrent() const override {
    int level = MPI_THREAD_SINGLE;
    MPI_Query_thread(&level);
    return level == MPI_THREAD_MULTIPLE;
  }

 protected:
  void DoAllReduce(tensor::View buffer, ReduceOp op, Order order, tensor::Stream&) override {
    Meet();
    ForPieces(buffer.count, piece_bytes_ / core::SizeOf(buffer.dtype),
              [&](int64_t begin, int64_t count) {
                const tensor::View piece = buffer.Range(begin, count);
                if (order == Order::kAny) return AnyOrder(piece, op);
                const Block mine = BlockOf(count, rank(), size());
                SumBlock(
                    [&](int r) {
                      const Block theirs = BlockOf(count, r, size());
                      return piece.Range(theirs.begin, theirs.count);
                    },
                    piece.Range(mine.begin, mine.count), op);
                GatherBlocks(piece, /*have_all=*/-1);
              });
  }

  void DoReduceScatter(tensor::ConstView input, tensor::View output, ReduceOp op, Order,
                       tensor::Stream&) override {
    Meet();
    const int64_t width = std::max<int64_t>(1, piece_bytes_ / core::SizeOf(input.dtype) / size());
    ForPieces(output.count, width, [&](int64_t begin, int64_t count) {
      SumBlock([&](int r) { return input.Range(output.count * r + begin, count); },
               output.Range(begin, count), op);
    });
  }

  void DoAllGather(tensor::ConstView input, tensor::View output, tensor::Stream&) override {
    Meet();
    const tensor::View own = output.Range(input.count * rank(), input.count);
    if (own.data != input.data && input.count > 0) {
      std::memcpy(own.data, input.data, static_cast<size_t>(input.bytes().value));
    }
    ForPieces(input.count, piece_bytes_ / core::SizeOf(input.dtype),
              [&](int64_t begin, int64_t count) {
                MpiMessages messages(comm_);
                for (const int r : Others()) {
                  Receive(messages, output.Range(input.count * r + begin, count), r, kResultTag);
                  Send(messages, input.Range(begin, count), r, kResultTag);
                }
                messages.Wait(keeper());
              });
  }

  // The root deals out blocks, then the ranks gather them from one another: no rank sends the whole
  // buffer to everybody.
  void DoBroadcast(tensor::View buffer, int root, tensor::Stream&) override {
    Meet();
    ForPieces(buffer.count, piece_bytes_ / core::SizeOf(buffer.dtype),
              [&](int64_t begin, int64_t count) {
                const tensor::View piece = buffer.Range(begin, count);
                MpiMessages messages(comm_);
                for (const int r : Others()) {
                  const Block block = BlockOf(count, rank() == root ? r : rank(), size());
                  const tensor::View part = piece.Range(block.begin, block.count);
                  if (rank() == root) Send(messages, part, r, kBlockTag);
                  if (r == root) Receive(messages, part, root, kBlockTag);
                }
                messages.Wait(keeper());
                GatherBlocks(piece, root);
              });
  }

  void DoBarrier() override { Meet(); }

  std::unique_ptr<Communicator> DoGroup(const std::string& name,
                                        const std::vector<int>& ranks) override {
    return make_(name, keeper().WorldRanks(ranks));
  }

 private:
  void Meet() {
    calls_.assign(peers_.size(), {});
    calls_[static_cast<size_t>(rank())] = keeper().call().words();
    ExchangeWords(comm_, peers_, rank(), kCallTag, keeper(), &calls_);
    keeper().CheckSameCall(calls_);
  }

  template <typename Body>
  static void ForPieces(int64_t count, int64_t width, const Body& body) {
    for (int64_t begin = 0; begin < count; begin += width) {
      body(begin, std::min(width, count - begin));
    }
  }

  // The other ranks, starting behind this one, so that not all send to the same rank at once.
  std::vector<int> Others() const {
    std::vector<int> ranks;
    for (int step = 1; step < size(); ++step) ranks.push_back((rank() + step) % size());
    return ranks;
  }

  static void Send(MpiMessages& messages, tensor::ConstView view, int to, int tag) {
    if (view.count > 0) messages.Send(view.data, view.bytes().value, to, tag);
  }
  void Receive(MpiMessages& messages, tensor::View view, int from, int tag) {
    if (view.count == 0) return;
    messages.Receive(view.data, view.bytes().value, from, tag);
    CountReceived(view.bytes());
  }

  void AnyOrder(tensor::View piece, ReduceOp op) {
    MPI_Request request;
    CheckMpi(MPI_Iallreduce(MPI_IN_PLACE, piece.data, static_cast<int>(piece.count),
                            TypeOf(piece.dtype), OpOf(op), comm_, &request),
             "MPI_Iallreduce");
    MpiMessages messages(comm_);
    messages.Add(request, /*peer=*/-1, /*receives=*/false);
    messages.Wait(keeper());
    CountReceived(core::Bytes(2 * (size() - 1) * piece.bytes().value / size()));
  }

  // Sends block_of(r) to its owner r, and sums the own block over all ranks into `mine` (which may
  // be block_of(rank()) itself).
  template <typename BlockOfRank>
  void SumBlock(const BlockOfRank& block_of, tensor::View mine, ReduceOp op) {
    const int64_t bytes = mine.bytes().value;
    arrived_.resize(static_cast<size_t>(bytes * size()));
    std::vector<const void*> sources(peers_.size());
    MpiMessages messages(comm_);
    for (const int r : Others()) {
      char* const to = arrived_.data() + bytes * r;
      Receive(messages, {to, mine.count, mine.dtype, mine.device}, r, kBlockTag);
      Send(messages, block_of(r), r, kBlockTag);
      sources[static_cast<size_t>(r)] = to;
    }
    messages.Wait(keeper());
    sources[static_cast<size_t>(rank())] = block_of(rank()).data;
    ReduceTree(mine.dtype, op, sources.data(), size(), mine.count, mine.data);
  }

  // Each rank sends its own block of the piece to all others; rank `have_all` needs none of them.
  void GatherBlocks(tensor::View piece, int have_all) {
    const auto block_of = [&](int r) {
      const Block block = BlockOf(piece.count, r, size());
      return piece.Range(block.begin, block.count);
    };
    MpiMessages messages(comm_);
    for (const int r : Others()) {
      if (rank() != have_all) Receive(messages, block_of(r), r, kResultTag);
      if (r != have_all) Send(messages, block_of(rank()), r, kResultTag);
    }
    messages.Wait(keeper());
  }

  MPI_Comm comm_;
  int64_t piece_bytes_;
  GroupMaker make_;
  std::vector<int> peers_;
  std::vector<Call::Words> calls_;
  std::vector<char> arrived_;  // other ranks' copies of the own block
};

}  // namespace

void CheckMpi(int code, const char* action) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw core::PeerError(std::string(action) + " failed: " + text);
}

MpiMessages::~MpiMessages() {
  for (size_t i = 0; i < requests_.size(); ++i) {
    if (requests_[i] == MPI_REQUEST_NULL) continue;
    if (receives_[i]) MPI_Cancel(&requests_[i]);
    if (peers_[i] >= 0) MPI_Request_free(&requests_[i]);
  }
}

void MpiMessages::Add(MPI_Request request, int peer, bool receives) {
  requests_.push_back(request);
  peers_.push_back(peer);
  receives_.push_back(receives);
}

void MpiMessages::Send(const void* data, int64_t bytes, int peer, int tag) {
  MPI_Request request;
  CheckMpi(MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, peer, tag, comm_, &request),
           "MPI_Isend");
  Add(request, peer, false);
}

void MpiMessages::Receive(void* data, int64_t bytes, int peer, int tag) {
  MPI_Request request;
  CheckMpi(MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, peer, tag, comm_, &request),
           "MPI_Irecv");
  Add(request, peer, true);
}

void MpiMessages::Wait(const DeadlineKeeper& keeper) {
  const auto ready = [&] {
    int done = 0;
    CheckMpi(MPI_Testall(static_cast<int>(requests_.size()), requests_.data(), &done,
                         MPI_STATUSES_IGNORE),
             "MPI_Testall");
    return done != 0;
  };
  const auto missing = [&] {
    std::vector<int> ranks;
    for (size_t i = 0; i < requests_.size(); ++i) {
      int done = 0;
      MPI_Test(&requests_[i], &done, MPI_STATUS_IGNORE);
      if (!done && receives_[i]) ranks.push_back(peers_[i]);
    }
    return ranks;
  };
  keeper.Wait(ready, missing);
}

void ExchangeWords(MPI_Comm comm, const std::vector<int>& peers, int me, int tag,
                   const DeadlineKeeper& keeper, std::vector<Call::Words>* words) {
  // Places in `peers`, not ranks of `comm`, are what the keeper can name.
  const auto n = static_cast<int>(peers.size());
  MpiMessages messages(comm);
  for (int step = 1; step < n; ++step) {
    const int to = (me + step) % n;
    const int from = (me + n - step) % n;
    MPI_Request request;
    CheckMpi(MPI_Irecv((*words)[static_cast<size_t>(from)].data(), sizeof(Call::Words), MPI_BYTE,
                       peers[static_cast<size_t>(from)], tag, comm, &request),
             "MPI_Irecv");
    messages.Add(request, from, true);
    CheckMpi(MPI_Isend((*words)[static_cast<size_t>(me)].data(), sizeof(Call::Words), MPI_BYTE,
                       peers[static_cast<size_t>(to)], tag, comm, &request),
             "MPI_Isend");
    messages.Add(request, to, false);
  }
  messages.Wait(keeper);
}

std::unique_ptr<Communicator> MakeNetworkCommunicator(const std::string& name, int rank,
                                                      std::vector<Member> members, MPI_Comm comm,
                                                      int64_t piece_bytes, GroupMaker make) {
  return std::make_unique<NetworkCommunicator>(name, rank, std::move(members), comm, piece_bytes,
                                               std::move(make));
}

}  // namespace moat::comm
