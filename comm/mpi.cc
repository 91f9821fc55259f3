// The MPI session: start, groups, end.
#include "comm/mpi.h"

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <utility>

#include "comm/mpi_network.h"
#include "comm/self.h"
#include "comm/shared_memory.h"
#include "core/logging.h"

namespace moat::comm {
namespace {

constexpr int kSetupTag = 1000;
constexpr int64_t kLargestMessage = 64 << 20;  // MPI counts are ints

MpiPath ChoosePath(MpiPath asked) {
  const char* const text = std::getenv("MOAT_COMM_PATH");
  if (asked != MpiPath::kAuto || text == nullptr || *text == '\0') return asked;
  if (std::strcmp(text, "shm") == 0) return MpiPath::kSharedMemory;
  if (std::strcmp(text, "network") == 0) return MpiPath::kNetwork;
  throw core::ConfigError(std::string("MOAT_COMM_PATH is '") + text + "'; expected shm or network");
}

// A launcher of another MPI starts each process as a job of its own.
void RefuseToBeAlone() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    const char* const value = std::getenv(name);
    if (value == nullptr || std::atoi(value) <= 1) continue;
    char library[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0;
    MPI_Get_library_version(library, &length);
    const std::string version(library, static_cast<size_t>(length));
    MPI_Finalize();
    throw core::ConfigError(std::string(name) + "=" + value +
                            " processes were started, but this one is alone: the launcher does not "
                            "belong to the MPI that moat was built with, " +
                            version.substr(0, version.find_first_of(",\n")) +
                            "; start it with that MPI's mpirun, or srun --mpi=pmix");
  }
}

// The name of a segment, taken away when all have mapped it or on the way out.
class SegmentName {
 public:
  explicit SegmentName(std::string name) : name_(std::move(name)) {}
  SegmentName(const SegmentName&) = delete;
  ~SegmentName() { SharedSegment::Unlink(name_); }

 private:
  std::string name_;
};

}  // namespace

struct MpiSession::State : std::enable_shared_from_this<MpiSession::State> {
  MpiOptions options;
  MPI_Comm world = MPI_COMM_NULL;
  int rank = 0;
  int size = 1;
  int local_rank = 0;
  int local_size = 1;
  int exceptions = 0;            // passing when the session began
  std::vector<Member> members;   // of the world
  std::vector<int> node_leader;  // of each rank: the first rank of its node
  uint64_t segments = 0;

  void LookAround();
  std::unique_ptr<Communicator> Make(const std::string& name, const std::vector<int>& ranks,
                                     MpiPath path, int64_t piece_bytes);

 private:
  struct Setup;
  std::optional<SharedSegment> Share(const Setup& setup, int64_t piece_bytes, MpiPath path);
};

// The ranks of a group that is being made.
struct MpiSession::State::Setup {
  const std::vector<int>& ranks;
  std::vector<Member> members;
  int me;
  DeadlineKeeper keeper;

  // Everybody's words; the first call also finds out whether all are there.
  std::vector<Call::Words> Exchange(MPI_Comm world, Call::Words mine) const {
    std::vector<Call::Words> words(ranks.size());
    words[static_cast<size_t>(me)] = mine;
    ExchangeWords(world, ranks, me, kSetupTag, keeper, &words);
    return words;
  }
};

void MpiSession::State::LookAround() {
  MPI_Comm node;
  CheckMpi(MPI_Comm_split_type(world, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &node),
           "MPI_Comm_split_type");
  MPI_Comm_rank(node, &local_rank);
  MPI_Comm_size(node, &local_size);
  int leader = rank;
  CheckMpi(MPI_Bcast(&leader, 1, MPI_INT, 0, node), "MPI_Bcast");
  MPI_Comm_free(&node);
  node_leader.resize(static_cast<size_t>(size));
  CheckMpi(MPI_Allgather(&leader, 1, MPI_INT, node_leader.data(), 1, MPI_INT, world),
           "MPI_Allgather");
  constexpr int kHostBytes = 64;
  char host[kHostBytes] = "";
  gethostname(host, kHostBytes - 1);
  std::vector<char> hosts(static_cast<size_t>(size) * kHostBytes);
  CheckMpi(MPI_Allgather(host, kHostBytes, MPI_CHAR, hosts.data(), kHostBytes, MPI_CHAR, world),
           "MPI_Allgather");
  for (int r = 0; r < size; ++r) {
    members.push_back({r, hosts.data() + static_cast<size_t>(r) * kHostBytes,
                       node_leader[static_cast<size_t>(r)]});
  }
}

// A segment that all ranks of the group have mapped, or none on any of them.
std::optional<SharedSegment> MpiSession::State::Share(const Setup& setup, int64_t piece_bytes,
                                                      MpiPath path) {
  const size_t bytes = SharedMemorySize(static_cast<int>(setup.ranks.size()), piece_bytes);
  const auto name_of = [](const Call::Words& words) {
    char name[64];
    std::snprintf(name, sizeof name, "/moat-%" PRIu64 "-%" PRIu64, words[0], words[1]);
    return std::string(name);
  };
  std::optional<SharedSegment> segment;
  std::optional<SegmentName> name;
  std::string why = "another rank could not map the shared memory";
  const auto attempt = [&](const auto& body) {
    try {
      segment.emplace(body());
    } catch (const core::StorageError& error) {
      why = error.what();
    }
  };
  Call::Words words{static_cast<uint64_t>(getpid()), ++segments};
  if (setup.me == 0) {
    attempt([&] { return SharedSegment::Create(name_of(words), bytes); });
    if (segment) name.emplace(name_of(words));
  }
  words = setup.Exchange(world, words)[0];
  if (setup.me != 0) attempt([&] { return SharedSegment::Open(name_of(words), bytes); });
  for (const Call::Words& mapped : setup.Exchange(world, {segment.has_value(), 0})) {
    if (mapped[0] != 0) continue;
    if (path == MpiPath::kSharedMemory) throw core::StorageError(why);
    if (setup.me == 0) {
      core::Log(core::Log::kWarning)
          << why << "; ranks of one node talk through messages instead, which is slower; give "
          << "/dev/shm " << core::Format(core::Bytes(static_cast<int64_t>(bytes))) << " of room";
    }
    return std::nullopt;
  }
  return segment;
}

std::unique_ptr<Communicator> MpiSession::State::Make(const std::string& name,
                                                      const std::vector<int>& ranks, MpiPath path,
                                                      int64_t piece_bytes) {
  const auto self = std::find(ranks.begin(), ranks.end(), rank);
  MOAT_CHECK(self != ranks.end(), "a rank makes only groups that hold itself");
  MOAT_CHECK(piece_bytes > 0 && piece_bytes % 64 == 0, "pieces are multiples of 64 bytes");
  if (ranks.size() == 1) return MakeSelf(name, members[static_cast<size_t>(rank)]);
  std::vector<Member> group;
  bool one_node = true;
  for (const int r : ranks) {
    group.push_back(members[static_cast<size_t>(r)]);
    one_node =
        one_node && node_leader[static_cast<size_t>(r)] == node_leader[static_cast<size_t>(rank)];
  }
  const int me = static_cast<int>(self - ranks.begin());
  Setup setup{ranks, group, me, DeadlineKeeper(name, me, group)};
  setup.keeper.set_seconds(options.deadline_seconds);
  setup.keeper.Begin({});
  setup.Exchange(world, {});  // all are there: what follows cannot wait for long

  const GroupMaker maker = [state = shared_from_this(), path, piece_bytes](
                               const std::string& n, const std::vector<int>& r) {
    return state->Make(n, r, path, piece_bytes);
  };
  if (path == MpiPath::kSharedMemory && !one_node) {
    throw core::ConfigError("MOAT_COMM_PATH=shm needs all ranks of group '" + name +
                            "' on one node");
  }
  std::unique_ptr<Communicator> made;
  if (one_node && path != MpiPath::kNetwork) {
    if (auto segment = Share(setup, piece_bytes, path)) {
      made = MakeSharedMemoryCommunicator(name, me, group, std::move(*segment), piece_bytes, maker);
    }
  }
  if (!made) {
    // Never freed: freeing is collective. MPI_Finalize takes the few there are.
    MPI_Group all, some;
    MPI_Comm comm;
    MPI_Comm_group(world, &all);
    MPI_Group_incl(all, static_cast<int>(ranks.size()), ranks.data(), &some);
    CheckMpi(MPI_Comm_create_group(world, some, kSetupTag, &comm), "MPI_Comm_create_group");
    MPI_Group_free(&some);
    MPI_Group_free(&all);
    made = MakeNetworkCommunicator(name, me, group, comm, std::min(piece_bytes, kLargestMessage),
                                   maker);
  }
  made->SetDeadline(options.deadline_seconds);
  return made;
}

MpiSession::MpiSession(int* argc, char*** argv, const MpiOptions& options)
    : state_(std::make_shared<State>()) {
  State& s = *state_;
  s.options = options;
  s.options.path = ChoosePath(options.path);
  s.exceptions = std::uncaught_exceptions();
  int provided = 0;
  CheckMpi(MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided), "MPI_Init_thread");
  CheckMpi(MPI_Comm_dup(MPI_COMM_WORLD, &s.world), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(s.world, MPI_ERRORS_RETURN);
  MPI_Comm_rank(s.world, &s.rank);
  MPI_Comm_size(s.world, &s.size);
  if (s.size == 1) RefuseToBeAlone();
  s.LookAround();
}

MpiSession::~MpiSession() {
  State& s = *state_;
  if (std::uncaught_exceptions() > s.exceptions) return;
  try {
    std::vector<int> ranks;
    for (int r = 0; r < s.size; ++r) ranks.push_back(r);
    DeadlineKeeper keeper("end of the job", s.rank, s.members);
    keeper.set_seconds(s.options.deadline_seconds);
    keeper.Begin({});
    std::vector<Call::Words> words(ranks.size());
    ExchangeWords(s.world, ranks, s.rank, kSetupTag, keeper, &words);
    MPI_Finalize();
  } catch (const core::Error& error) {
    core::Log(core::Log::kWarning) << "MPI is left without finalizing: " << error.what();
  }
}

int MpiSession::rank() const { return state_->rank; }
int MpiSession::size() const { return state_->size; }
int MpiSession::local_rank() const { return state_->local_rank; }
int MpiSession::local_size() const { return state_->local_size; }
const std::string& MpiSession::host(int rank) const {
  MOAT_CHECK(rank >= 0 && rank < size(), "a rank outside of the world");
  return state_->members[static_cast<size_t>(rank)].host;
}

std::unique_ptr<Communicator> MpiSession::World() {
  std::vector<int> ranks;
  for (int r = 0; r < size(); ++r) ranks.push_back(r);
  return Group("world", ranks);
}

std::unique_ptr<Communicator> MpiSession::Group(const std::string& name,
                                                const std::vector<int>& ranks) {
  return Group(name, ranks, state_->options.path, state_->options.piece_bytes);
}

std::unique_ptr<Communicator> MpiSession::Group(const std::string& name,
                                                const std::vector<int>& ranks, MpiPath path,
                                                int64_t piece_bytes) {
  return state_->Make(name, ranks, path, piece_bytes);
}

void MpiSession::Abort(core::ExitCode code) {
  MPI_Abort(MPI_COMM_WORLD, static_cast<int>(code));
  std::_Exit(static_cast<int>(code));
}

}  // namespace moat::comm
