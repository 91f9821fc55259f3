// Who reads which piece, the rounds in which ranks of a node read side by side, and loading alone.
#include "checkpoint/delivery.h"

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "checkpoint/box_reader.h"
#include "checkpoint/file_check.h"
#include "checkpoint/rank_outcome.h"
#include "checkpoint/slice_memory.h"
#include "comm/grid.h"
#include "comm/self.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;
using parallel::Slice;

constexpr int64_t kStretchBytes = 1 << 18;  // stays in the cache between the CRC and the copy
constexpr int64_t kRoundBytes = 1 << 20;    // of a rank: ranks wait for each other once a round

void CheckWanted(const SliceToLoad& wanted, const Manifest& manifest) {
  const std::string subject = "the checkpoint of step " + std::to_string(manifest.position.step) +
                              ": tensor '" + wanted.tensor + "'";
  const auto found = manifest.tensors.find(wanted.tensor);
  if (found == manifest.tensors.end()) {
    throw core::DataError(subject + " is not in it");
  }
  const TensorEntry& saved = found->second;
  if (saved.shape != wanted.global) {
    throw core::DataError(subject + " was saved with shape " + saved.shape.text() +
                          ", this run needs " + wanted.global.text());
  }
  if (saved.dtype != wanted.data.dtype) {
    throw core::DataError(subject + " was saved as " + core::Name(saved.dtype) +
                          ", this run needs " + core::Name(wanted.data.dtype));
  }
  const Slice whole = Slice::Whole(wanted.global);
  MOAT_CHECK(wanted.slice.begin.size() == whole.begin.size() &&
                 parallel::Intersect(wanted.slice, whole) == wanted.slice,
             "a wanted slice must lie inside its tensor");
  CheckMemory(wanted);
}

// A piece, in the order in which all ranks count them: by tensor, then as the manifest lists them.
struct Item {
  const std::string* tensor;
  const Piece* piece;
  int64_t element_size;
  const FilePlace* place;
  bool ReadableBy(int world_rank) const {
    return place->readers.empty() || std::find(place->readers.begin(), place->readers.end(),
                                               world_rank) != place->readers.end();
  }
};

std::vector<Item> ItemsOf(const Manifest& manifest, const FilePlaces& places) {
  std::vector<Item> items;
  for (const auto& [name, tensor] : manifest.tensors) {
    for (const Piece& piece : tensor.pieces) {
      items.push_back({&name, &piece, core::SizeOf(tensor.dtype), &places.at(piece.file)});
    }
  }
  return items;
}

// A part of an item, as it is read at once.
struct Stretch {
  const Item* item;
  Slice box;
  bool last = false;  // of its item
  int64_t bytes() const { return box.elements() * item->element_size; }
  bool first() const { return box.begin == item->piece->slice.begin; }
};

// What this rank wants, by tensor.
class Wishes {
 public:
  Wishes(const Manifest& manifest, const std::vector<SliceToLoad>& wanted) {
    for (const SliceToLoad& one : wanted) {
      CheckWanted(one, manifest);
      by_tensor_[one.tensor].push_back(&one);
    }
  }

  // By item: '1' where some of it is wanted.
  std::string Marks(const std::vector<Item>& items) const {
    std::string marks;
    for (const Item& item : items) marks += Some(item) ? '1' : '0';
    return marks;
  }

  void Fill(const Stretch& stretch, const char* bytes) const {
    const auto found = by_tensor_.find(*stretch.item->tensor);
    if (found == by_tensor_.end()) return;
    for (const SliceToLoad* one : found->second) Put(stretch.box, bytes, *one);
  }

  // Where the stretch belongs, if that is one run of one slice in host memory; else nullptr.
  char* RunFor(const Stretch& stretch) const {
    const auto found = by_tensor_.find(*stretch.item->tensor);
    if (found == by_tensor_.end()) return nullptr;
    const SliceToLoad* only = nullptr;
    for (const SliceToLoad* one : found->second) {
      if (parallel::Intersect(stretch.box, one->slice).elements() == 0) continue;
      if (only != nullptr) return nullptr;
      only = one;
    }
    if (only != nullptr && only->data.device != core::DeviceKind::kCpu) return nullptr;
    const auto offset = only ? parallel::RunOffset(stretch.box, only->slice) : std::nullopt;
    return offset ? static_cast<char*>(only->data.data) + *offset * stretch.item->element_size
                  : nullptr;
  }

 private:
  bool Some(const Item& item) const {
    const auto found = by_tensor_.find(*item.tensor);
    return found != by_tensor_.end() &&
           std::any_of(found->second.begin(), found->second.end(), [&](const SliceToLoad* one) {
             return parallel::Intersect(item.piece->slice, one->slice).elements() > 0;
           });
  }

  std::map<std::string, std::vector<const SliceToLoad*>> by_tensor_;
};

// The files of one checkpoint, each opened and checked at its first use.
class Files {
 public:
  explicit Files(const Manifest& manifest) : manifest_(manifest) {}
  const core::FileReader& Get(const Item& item) {
    const std::string& name = item.piece->file;
    const auto found = open_.find(name);
    if (found != open_.end()) return found->second;
    return open_.emplace(name, OpenChecked(item.place->directory, name, manifest_.files.at(name)))
        .first->second;
  }

 private:
  const Manifest& manifest_;
  std::map<std::string, core::FileReader> open_;
};

// The stretches of the items that one rank reads, in order, a round's at a time.
class Rounds {
 public:
  explicit Rounds(std::vector<const Item*> items) : items_(std::move(items)) {}

  // Those of the next round; none are left when there are none.
  std::vector<Stretch> Next() {
    std::vector<Stretch> round;
    int64_t bytes = 0;
    while (Refill() && (round.empty() || bytes + waiting_.front().bytes() <= kRoundBytes)) {
      bytes += waiting_.front().bytes();
      round.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    return round;
  }

 private:
  // False: there are no more.
  bool Refill() {
    for (; waiting_.empty() && next_ < items_.size(); ++next_) {
      const Item& item = *items_[next_];
      ForEachStretch(item.piece->slice, {&item.piece->slice}, kStretchBytes / item.element_size,
                     [&](const Slice& box) {
                       waiting_.push_back({&item, box});
                     });
      if (!waiting_.empty()) waiting_.back().last = true;
    }
    return !waiting_.empty();
  }

  std::vector<const Item*> items_;
  size_t next_ = 0;
  std::deque<Stretch> waiting_;
};

int64_t BytesOf(const std::vector<Stretch>& round) {
  int64_t bytes = 0;
  for (const Stretch& stretch : round) bytes += stretch.bytes();
  return bytes;
}

// One rank's reading, which goes on past a failure, as if it had read: others wait for what it
// sends.
class Reader {
 public:
  explicit Reader(const Manifest& manifest) : files_(manifest) {}

  // `take` gets the bytes, in the order of the stretches, from a PieceCheck.
  template <typename Take>
  void Read(const Stretch& stretch, const Take& take) {
    if (!outcome_.ok()) return;
    outcome_ = RankOutcome::Of([&] {
      const Item& item = *stretch.item;
      if (stretch.first()) check_.emplace(files_.Get(item), *item.tensor, *item.piece);
      take(*check_);
      if (stretch.last) check_->Finish();
      return "";
    });
  }
  const RankOutcome& outcome() const { return outcome_; }

 private:
  Files files_;
  std::optional<PieceCheck> check_;
  RankOutcome outcome_;
};

// By rank of a group: the items that it reads.
using Shares = std::vector<std::vector<const Item*>>;

// What only this rank wants.
RankOutcome ReadAlone(const Manifest& manifest, std::vector<const Item*> items,
                      const Wishes& wishes) {
  Reader reader(manifest);
  Rounds rounds(std::move(items));
  for (auto round = rounds.Next(); !round.empty(); round = rounds.Next()) {
    for (const Stretch& stretch : round) {
      reader.Read(stretch, [&](PieceCheck& check) {
        if (char* const run = wishes.RunFor(stretch)) {
          check.ReadTo(stretch.bytes(), run);
        } else {
          wishes.Fill(stretch, check.Next(stretch.bytes()));
        }
      });
    }
  }
  return reader.outcome();
}

// Collective over `group`: each rank reads its share, and all get each round's.
RankOutcome ReadTogether(const Manifest& manifest, const Shares& shares, const Wishes& wishes,
                         comm::Communicator& group) {
  const auto ranks = static_cast<size_t>(group.size());
  const auto me = static_cast<size_t>(group.rank());
  std::vector<Rounds> rounds(shares.begin(), shares.end());
  std::vector<std::vector<Stretch>> now(ranks);
  std::vector<char> memory;
  tensor::Stream stream;
  Reader reader(manifest);
  for (;;) {
    int64_t longest = 0;
    for (size_t r = 0; r < ranks; ++r) {
      now[r] = rounds[r].Next();
      longest = std::max(longest, BytesOf(now[r]));
    }
    if (longest == 0) return reader.outcome();
    memory.resize(std::max(memory.size(), ranks * static_cast<size_t>(longest)));
    const tensor::View all{memory.data(), group.size() * longest, core::DType::kU8};
    const tensor::View mine = all.Range(group.rank() * longest, longest);
    char* to = static_cast<char*>(mine.data);
    for (const Stretch& stretch : now[me]) {
      reader.Read(stretch, [&](PieceCheck& check) { check.ReadTo(stretch.bytes(), to); });
      to += stretch.bytes();
    }
    group.AllGather(mine, all, stream);
    for (size_t r = 0; r < ranks; ++r) {
      const char* from = memory.data() + r * static_cast<size_t>(longest);
      for (const Stretch& stretch : now[r]) {
        wishes.Fill(stretch, from);
        from += stretch.bytes();
      }
    }
  }
}

// Gives items to ranks so that all have about as many bytes to read.
class Sharing {
 public:
  explicit Sharing(size_t ranks) : shares_(ranks), bytes_(ranks, 0) {}
  void Give(const Item& item, size_t rank) {
    shares_[rank].push_back(&item);
    Count(item, rank);
  }
  void Count(const Item& item, size_t rank) { bytes_[rank] += item.piece->bytes; }
  // REQUIRES: `ranks` is not empty.
  size_t LeastOf(const std::vector<size_t>& ranks) const {
    return *std::min_element(ranks.begin(), ranks.end(),
                             [&](size_t a, size_t b) { return bytes_[a] < bytes_[b]; });
  }
  const Shares& shares() const { return shares_; }

 private:
  Shares shares_;
  std::vector<int64_t> bytes_;
};

// Ranks of `group` that can read the item.
std::vector<size_t> ReadersIn(const comm::Communicator& group, const Item& item) {
  std::vector<size_t> readers;
  for (size_t r = 0; r < group.members().size(); ++r) {
    if (item.ReadableBy(group.members()[r].world_rank)) readers.push_back(r);
  }
  return readers;
}

// Collective over the ranks of a node: all that one of them can read. `far` gets a '1' by item that
// is wanted here and cannot be read here.
RankOutcome DeliverWithin(const Manifest& manifest, const std::vector<Item>& items,
                          const Wishes& wishes, comm::Communicator& node, std::string* far) {
  const std::vector<std::string> marks = node.AllGatherText(wishes.Marks(items));
  const auto me = static_cast<size_t>(node.rank());
  Sharing sharing(marks.size());
  std::vector<const Item*> alone, shared;
  for (size_t i = 0; i < items.size(); ++i) {
    std::vector<size_t> wanting;
    for (size_t r = 0; r < marks.size(); ++r) {
      if (marks[r][i] == '1') wanting.push_back(r);
    }
    if (wanting.empty()) continue;
    const std::vector<size_t> readers = ReadersIn(node, items[i]);
    if (readers.empty()) {
      (*far)[i] = '1';
    } else if (wanting.size() > 1 ||
               std::find(readers.begin(), readers.end(), wanting[0]) == readers.end()) {
      shared.push_back(&items[i]);
    } else {
      sharing.Count(items[i], wanting[0]);
      if (wanting[0] == me) alone.push_back(&items[i]);
    }
  }
  for (const Item* item : shared) sharing.Give(*item, sharing.LeastOf(ReadersIn(node, *item)));
  const RankOutcome together = ReadTogether(manifest, sharing.shares(), wishes, node);
  const RankOutcome own = ReadAlone(manifest, std::move(alone), wishes);
  return together.ok() ? own : together;
}

// Collective over the world: what nodes want and cannot read themselves.
RankOutcome DeliverBetween(const Manifest& manifest, const std::vector<Item>& items,
                           const std::string& far, const Wishes& wishes,
                           comm::Communicator& world) {
  const std::vector<std::string> marks = world.AllGatherText(far);
  Sharing sharing(marks.size());
  std::set<int> involved;
  for (size_t i = 0; i < items.size(); ++i) {
    bool wanted = false;
    for (size_t r = 0; r < marks.size(); ++r) {
      if (marks[r][i] != '1') continue;
      wanted = true;
      involved.insert(static_cast<int>(r));
    }
    if (!wanted) continue;
    const size_t reader = sharing.LeastOf(ReadersIn(world, items[i]));
    sharing.Give(items[i], reader);
    involved.insert(static_cast<int>(reader));
  }
  if (involved.empty()) return {};
  std::vector<int> members(involved.begin(), involved.end());
  if (!involved.contains(world.rank())) members = {world.rank()};
  Shares shares;
  for (const int r : members) shares.push_back(sharing.shares()[static_cast<size_t>(r)]);
  const auto group = world.Group("delivery", members);
  return ReadTogether(manifest, shares, wishes, *group);
}

}  // namespace

FilePlaces AllIn(const fs::path& directory, const Manifest& manifest) {
  FilePlaces places;
  for (const auto& [name, entry] : manifest.files) places[name] = {directory};
  return places;
}

void Deliver(const Manifest& manifest, const FilePlaces& places,
             const std::vector<SliceToLoad>& wanted, comm::Communicator& world) {
  std::optional<Wishes> wishes;
  AgreeThatAllDid(world, RankOutcome::Of([&] {
                    wishes.emplace(manifest, wanted);
                    return "";
                  }));
  const std::vector<Item> items = ItemsOf(manifest, places);
  std::string far(items.size(), '0');
  const RankOutcome near = DeliverWithin(manifest, items, *wishes, *comm::NodeGroup(world), &far);
  const RankOutcome between = DeliverBetween(manifest, items, far, *wishes, world);
  AgreeThatAllDid(world, near.ok() ? between : near);
}

void Load(const fs::path& directory, const Manifest& manifest,
          const std::vector<SliceToLoad>& slices) {
  Deliver(manifest, AllIn(directory, manifest), slices, *comm::MakeSelf());
}

}  // namespace moat::checkpoint
