// Copies on the nodes: writing, mirroring, finding them again.
#include "checkpoint/local_tier.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

#include "checkpoint/commit.h"
#include "checkpoint/local_copies.h"
#include "checkpoint/rank_file.h"
#include "checkpoint/rank_outcome.h"
#include "comm/grid.h"
#include "core/clock.h"
#include "core/crc32c.h"
#include "core/digest.h"
#include "core/durable_file.h"
#include "core/logging.h"

namespace moat::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kChunk = 4 << 20;  // of a file, on its way to a partner

// This rank and those of other nodes whose files it keeps and who keep its: the ranks of one index
// on two neighbouring nodes, or on the last three where their number is odd. Where a node has more
// ranks than the smallest of its neighbours, it counts them round and round.
std::vector<int> PartnersOf(const comm::Communicator& world) {
  std::map<int, std::vector<int>> ranks_of;  // by node
  for (const comm::Member& member : world.members()) {
    ranks_of[member.node].push_back(member.world_rank);
  }
  std::vector<std::vector<int>> nodes;
  for (auto& [node, ranks] : ranks_of) nodes.push_back(std::move(ranks));
  for (size_t first = 0; first < nodes.size(); first += 2) {
    const size_t end = nodes.size() - first <= 3 ? nodes.size() : first + 2;
    size_t fewest = nodes[first].size();
    for (size_t n = first; n < end; ++n) fewest = std::min(fewest, nodes[n].size());
    for (size_t n = first; n < end; ++n) {
      const auto found = std::find(nodes[n].begin(), nodes[n].end(), world.rank());
      if (found == nodes[n].end()) continue;
      const size_t index = static_cast<size_t>(found - nodes[n].begin()) % fewest;
      std::vector<int> partners;
      for (size_t other = first; other < end; ++other) {
        for (size_t i = index; i < nodes[other].size(); i += fewest) {
          partners.push_back(nodes[other][i]);
        }
      }
      return partners;
    }
    if (end == nodes.size()) break;
  }
  return {world.rank()};
}

// Whole or not at all; nothing is synced.
void PublishPart(const fs::path& folder, int rank, const std::string& text) {
  const fs::path path = folder / PartName(rank);
  const fs::path temporary = folder / (PartName(rank) + ".tmp");
  {
    core::FileWriter writer(temporary);
    writer.Write(text);
  }
  fs::rename(temporary, path);
}

void Probe(const fs::path& folder) {
  core::MakeDirectories(folder);
  core::FileWriter writer(folder / ".probe");
  writer.Write("?");
  fs::remove(folder / ".probe");
}

// Removes the places below `run_folder` none of whose parts `keep` says to keep.
template <typename Keep>
void RemovePlaces(const fs::path& run_folder, const Keep& keep) {
  std::map<fs::path, bool> kept;
  for (const LocalPart& part : ListParts(run_folder)) {
    kept.try_emplace(part.folder, false).first->second |= keep(part);
  }
  std::error_code ignored;  // what stays does not count any more
  for (const auto& [folder, stays] : kept) {
    if (!stays) fs::remove_all(folder, ignored);
  }
}

// A part, and the first rank of a node that sees it.
struct Holding {
  int holder = 0;
  LocalPart part;
};
using ByRank = std::map<int, std::vector<Holding>>;

// Collective: all parts that the claim covers, newest step first, by step and attempt.
std::map<std::pair<int64_t, std::string>, ByRank, std::greater<>> GatherParts(
    const fs::path& run_folder, const LocalClaim& claim, comm::Communicator& world) {
  std::string mine;
  if (comm::LeadsNode(world)) {
    for (const LocalPart& part : ListParts(run_folder)) {
      if (claim.Covers(part)) mine += part.ToLine() + part.folder.string() + '\n';
    }
  }
  std::map<std::pair<int64_t, std::string>, ByRank, std::greater<>> steps;
  const std::vector<std::string> texts = world.AllGatherText(mine);
  for (size_t r = 0; r < texts.size(); ++r) {
    std::istringstream lines(texts[r]);
    for (std::string line, folder; std::getline(lines, line) && std::getline(lines, folder);) {
      auto part = LocalPart::FromLine(line);
      if (!part) continue;
      part->folder = folder;
      steps[{part->step, part->token}][part->rank].push_back({static_cast<int>(r), *part});
    }
  }
  return steps;
}

// Ranks whose files nobody has, as text; "" where the copy is whole.
std::string Missing(const ByRank& files) {
  std::string missing;
  const int ranks = files.begin()->second[0].part.ranks;
  for (int rank = 0; rank < ranks; ++rank) {
    if (!files.contains(rank)) missing += (missing.empty() ? "" : ", ") + std::to_string(rank);
  }
  return missing;
}

// Collective: the manifest of a whole copy; each part is read by the first who holds it. Throws
// DataError where a part is not what its first line says, which no CRC covers.
Manifest ManifestOf(const ByRank& files, const std::string& run_id, comm::Communicator& world) {
  std::string mine;
  for (const auto& [rank, holdings] : files) {
    if (holdings[0].holder != world.rank()) continue;
    const LocalPart& part = holdings[0].part;
    const RankOutcome read = RankOutcome::Of([&] { return ReadPart(part); });
    const std::string text = read.ok() ? read.text : "";  // which is no manifest
    mine += std::to_string(text.size()) + '\n' + text;
  }
  std::vector<std::string> reports;
  for (const std::string& text : world.AllGatherText(mine)) {
    for (size_t at = 0; at < text.size();) {
      const size_t begin = text.find('\n', at) + 1;
      const size_t size = std::stoull(text.substr(at, begin - at));
      reports.push_back(text.substr(begin, size));
      at = begin + size;
    }
  }
  const int64_t step = files.begin()->second[0].part.step;
  RunPosition position;
  for (const std::string& report : reports) {
    position = Manifest::Parse(report, "a node's copy").position;
    if (position.step == step && position.run_id == run_id) continue;
    throw core::DataError("a part of it is of step " + std::to_string(position.step) + " of run " +
                          position.run_id + ", not of run " + run_id);
  }
  return Merge(position, reports);
}

FilePlace PlaceOf(const Holding& holding, const comm::Communicator& world) {
  FilePlace place{holding.part.folder, {}};
  const int node = world.members()[static_cast<size_t>(holding.holder)].node;
  for (const comm::Member& member : world.members()) {
    if (member.node == node) place.readers.push_back(member.world_rank);
  }
  return place;
}

void AddCandidates(const ByRank& files, const Manifest& manifest, const comm::Communicator& world,
                   std::vector<Candidate>* candidates) {
  const LocalPart& any = files.begin()->second[0].part;
  Candidate first{any.folder, manifest, {}, LocalOrigin{any.token, any.place}}, last = first;
  bool differ = false;
  for (const auto& [rank, holdings] : files) {
    if (!manifest.files.contains(RankFileName(rank))) continue;  // it had nothing to write
    first.places[RankFileName(rank)] = PlaceOf(holdings.front(), world);
    last.places[RankFileName(rank)] = PlaceOf(holdings.back(), world);
    differ = differ || holdings.size() > 1;
  }
  candidates->push_back(std::move(first));
  if (differ) candidates->push_back(std::move(last));
}

}  // namespace

fs::path LocalFolder(const fs::path& directory, const fs::path& root) {
  const fs::path whole = fs::weakly_canonical(fs::absolute(root));
  const std::string text = whole.string();
  char digest[16];
  std::snprintf(digest, sizeof digest, "%08x", core::Crc32c(text.data(), text.size()));
  return directory / (whole.parent_path().filename().string() + "-" + digest);
}

std::vector<Candidate> FindLocalCopies(const fs::path& directory, const fs::path& root,
                                       comm::Communicator& world) {
  const auto mine = world.rank() == 0 ? ReadClaim(root) : std::nullopt;
  const auto claim = LocalClaim::FromText(world.BroadcastText(mine ? mine->ToText() : "", 0));
  std::vector<Candidate> candidates;
  if (!claim) return candidates;
  const auto note = [&](int64_t step, const std::string& what) {
    if (world.rank() != 0) return;
    core::Log() << "the nodes' copies of step " << step << " are passed over: " << what;
  };
  for (const auto& [key, files] : GatherParts(LocalFolder(directory, root), *claim, world)) {
    const std::string missing = Missing(files);
    if (!missing.empty()) {
      note(key.first, "no node has those of ranks " + missing + " any more");
      continue;
    }
    try {
      AddCandidates(files, ManifestOf(files, claim->run_id, world), world, &candidates);
    } catch (const core::Error& error) {  // by what all have gathered: on all ranks alike
      note(key.first, error.what());
    }
  }
  return candidates;
}

LocalTier::LocalTier(const fs::path& directory, const fs::path& root, const std::string& run_id,
                     const Candidate* start, comm::Communicator& world)
    : folder_(LocalFolder(directory, root)), world_(world), leads_node_(comm::LeadsNode(world)) {
  const int node = world.members()[static_cast<size_t>(world.rank())].node;
  char name[24];
  std::snprintf(name, sizeof name, "node-%05d", node);
  node_ = folder_ / name;
  token_ = world.BroadcastText(core::RandomHex(8), 0);
  LocalClaim claim{run_id, token_, "", 0};
  if (start && start->local) {
    claim.start_token = start->local->token;
    claim.start_step = start->manifest.position.step;
    next_ = 1 - start->local->place;
  }
  AgreeThatAllDid(world, RankOutcome::Of([&] {
                    if (leads_node_) {
                      Probe(node_);
                      fs::permissions(folder_, fs::perms::owner_all);
                    }
                    if (world.rank() == 0) WriteClaim(root, claim);
                    return "";
                  }));
  if (leads_node_) {
    RemovePlaces(folder_, [&](const LocalPart& part) { return claim.Covers(part); });
  }
  partners_ = world.Group("partners", PartnersOf(world));
}

fs::path LocalTier::Place(int number) const { return node_ / ("place-" + std::to_string(number)); }

void LocalTier::Save(const RunPosition& position, const std::vector<SliceToSave>& slices) {
  if (!on_) return;
  const double begin = core::MonotonicSeconds();
  if (copies_ == 1 && leads_node_) {  // what the run went on from has been replaced
    RemovePlaces(folder_, [&](const LocalPart& part) { return part.token == token_; });
  }
  // All ranks come here when all have the copy before, and have removed what was to go.
  const RankOutcome failure = FirstFailure(world_, last_);
  if (!failure.ok()) {
    on_ = false;
    if (world_.rank() != 0) return;
    core::Log(core::Log::kWarning)
        << "--local_checkpoint_dir is not used any more in this attempt: " << failure.text;
    return;
  }
  std::string part;
  last_ = RankOutcome::Of([&] {
    part = WriteOwn(position, slices);
    return "";
  });
  Mirror(part);
  next_ = 1 - next_;
  ++copies_;
  seconds_ += core::MonotonicSeconds() - begin;
}

// The text of the part file.
std::string LocalTier::WriteOwn(const RunPosition& position,
                                const std::vector<SliceToSave>& slices) {
  const fs::path place = Place(next_);
  core::MakeDirectories(place);
  fs::remove(place / PartName(world_.rank()));
  Manifest part = WriteShare(place, position, slices, LayoutAlone(slices, world_.rank()),
                             world_.rank(), {}, WhenDone::kClose);
  part.position = position;
  const LocalPart line{token_, position.step, next_, world_.rank(), world_.size(), {}};
  std::string text = line.ToLine() + part.ToText();
  PublishPart(place, world_.rank(), text);
  return text;
}

// On each node the first of the partners keeps what those of other nodes have written.
bool LocalTier::KeepsFileOf(size_t partner) const {
  const std::vector<comm::Member>& members = partners_->members();
  const auto me = static_cast<size_t>(partners_->rank());
  const auto here = [&](const comm::Member& member) { return member.node == members[me].node; };
  const auto first = std::find_if(members.begin(), members.end(), here);
  return first == members.begin() + partners_->rank() && !here(members[partner]);
}

// Collective over the partners: each keeps what the others have written. A rank that failed sends
// nothing, and one that fails here goes on with the others' rounds.
void LocalTier::Mirror(const std::string& part) {
  if (partners_->size() == 1) return;
  const fs::path place = Place(next_);
  const fs::path own = place / RankFileName(world_.rank());
  int64_t size = 0;
  if (last_.ok() && fs::exists(own)) size = static_cast<int64_t>(fs::file_size(own));
  const auto parts = partners_->AllGatherText(part);
  std::vector<int64_t> sizes;
  for (const std::string& text : partners_->AllGatherText(std::to_string(size))) {
    sizes.push_back(std::stoll(text));
  }
  const int64_t longest = *std::max_element(sizes.begin(), sizes.end());
  const int64_t chunk = std::min(longest, kChunk);
  std::vector<char> memory(static_cast<size_t>(chunk * partners_->size()));
  const tensor::View all{memory.data(), std::ssize(memory), core::DType::kU8};
  const tensor::View mine = all.Range(partners_->rank() * chunk, chunk);
  tensor::Stream stream;
  std::map<size_t, core::FileWriter> files;
  std::optional<core::FileReader> reader;
  const auto doing = [&](const auto& body) {
    if (!last_.ok()) return;
    last_ = RankOutcome::Of([&] {
      body();
      return "";
    });
  };
  doing([&] {
    if (size > 0) reader.emplace(own);
    for (size_t r = 0; r < parts.size(); ++r) {
      if (!KeepsFileOf(r)) continue;
      const int rank = partners_->members()[r].world_rank;
      fs::remove(place / PartName(rank));
      if (sizes[r] == 0) continue;
      files.try_emplace(r, place / RankFileName(rank), core::FileWriter::kShared)
          .first->second.SetSize(sizes[r]);
    }
  });
  for (int64_t at = 0; at < longest; at += chunk) {
    const auto share = [&](int64_t of) { return std::clamp<int64_t>(of - at, 0, chunk); };
    doing([&] {
      if (share(size) > 0) reader->ReadAt(at, mine.data, static_cast<size_t>(share(size)));
    });
    partners_->AllGather(mine, all, stream);
    doing([&] {
      for (auto& [r, file] : files) {
        file.Write(memory.data() + static_cast<int64_t>(r) * chunk,
                   static_cast<size_t>(share(sizes[r])));
      }
    });
  }
  doing([&] {
    for (size_t r = 0; r < parts.size(); ++r) {
      if (!KeepsFileOf(r) || parts[r].empty()) continue;
      PublishPart(place, partners_->members()[r].world_rank, parts[r]);
    }
  });
}

void ForgetLocalCopies(const fs::path& root, comm::Communicator& world) {
  AgreeThatAllDid(world, RankOutcome::Of([&] {
                    if (world.rank() == 0) fs::remove(root / kLocalName);
                    return "";
                  }));
}

void LocalTier::Remove(const fs::path& root) {
  std::error_code ignored;
  if (leads_node_) fs::remove_all(folder_, ignored);
  if (world_.rank() == 0) fs::remove(root / kLocalName, ignored);
}

}  // namespace moat::checkpoint
