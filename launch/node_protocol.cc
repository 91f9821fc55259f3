// The words between supervisor and watchers.
#include "launch/node_protocol.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"

namespace moat::launch {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostGroups = 64;

[[noreturn]] void Refuse(const std::string& what, std::string_view line) {
  throw core::DataError("expected a message of a node's watcher, found " + what + " in '" +
                        std::string(line.substr(0, 80)) + "'");
}

Json Of(const rundir::BoardGroup& group) {
  return {group.name, group.call, group.count, group.sequence, group.inside, group.changed_at};
}

rundir::BoardGroup GroupOf(const Json& json) {
  return {json.at(0).get<std::string>(), json.at(1).get<std::string>(), json.at(2).get<int64_t>(),
          json.at(3).get<uint64_t>(),    json.at(4).get<bool>(),        json.at(5).get<double>()};
}

Json Of(int rank, const rundir::BoardSnapshot& board) {
  Json groups = Json::array();
  for (const rundir::BoardGroup& group : board.groups) groups.push_back(Of(group));
  return {{"rank", rank},
          {"phase", static_cast<uint32_t>(board.phase)},
          {"step", board.step},
          {"pid", board.pid},
          {"phases", board.phases},
          {"phase_began", board.phase_began},
          {"longest", board.longest},
          {"steps", board.steps},
          {"busy_seconds", board.busy_seconds},
          {"requests", board.requests},
          {"groups", groups}};
}

rundir::BoardSnapshot BoardOf(const Json& json, const std::string& host) {
  rundir::BoardSnapshot board;
  const auto phase = json.at("phase").get<uint32_t>();
  const Json& groups = json.at("groups");
  if (phase >= rundir::kPhases || groups.size() > kMostGroups) {
    throw core::DataError("a phase or groups that do not exist");
  }
  board.phase = static_cast<rundir::Phase>(phase);
  board.step = json.at("step").get<int64_t>();
  board.pid = json.at("pid").get<int64_t>();
  board.host = host;
  board.phases = json.at("phases").get<uint64_t>();
  board.phase_began = json.at("phase_began").get<double>();
  board.longest = json.at("longest").get<std::array<double, rundir::kPhases>>();
  board.steps = json.at("steps").get<uint64_t>();
  board.busy_seconds = json.at("busy_seconds").get<double>();
  board.requests = json.at("requests").get<uint32_t>();
  for (const Json& group : groups) board.groups.push_back(GroupOf(group));
  return board;
}

int RankOf(const Json& json, int all_ranks) {
  const int rank = json.at("rank").get<int>();
  if (rank < 0 || rank >= all_ranks) {
    throw core::DataError("rank " + std::to_string(rank) + " of " + std::to_string(all_ranks));
  }
  return rank;
}

// Stacks may hold any bytes.
std::string Line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

template <typename Read>
auto Parsed(std::string_view line, const Read& read) {
  try {
    return read(Json::parse(line));
  } catch (const Json::exception& error) {
    Refuse(error.what(), line);
  } catch (const core::DataError& error) {
    Refuse(error.what(), line);
  }
}

constexpr std::pair<NodeOrder::What, const char*> kOrders[] = {
    {NodeOrder::What::kWelcome, "welcome"},
    {NodeOrder::What::kReport, "report"},
    {NodeOrder::What::kEnd, "end"}};

}  // namespace

std::string ToText(const Invitation& invitation) {
  std::string text = invitation.host + " " + std::to_string(invitation.port) + " " +
                     std::to_string(invitation.ranks_per_node) + " " + invitation.token;
  for (const std::string& address : invitation.addresses) text += " " + address;
  return text;
}

std::optional<Invitation> InvitationOf(const std::string& text) {
  std::istringstream words(text);
  Invitation invitation;
  words >> invitation.host >> invitation.port >> invitation.ranks_per_node >> invitation.token;
  if (!words || invitation.ranks_per_node < 1 || invitation.token.size() != kTokenBytes) {
    return std::nullopt;
  }
  for (std::string address; words >> address;) invitation.addresses.push_back(address);
  return invitation;
}

std::string ToLine(const NodeNews& news) {
  Json json = {{"host", news.host},
               {"first_rank", news.first_rank},
               {"ranks", news.ranks},
               {"now", news.now}};
  for (const auto& [rank, board] : news.boards) json["boards"].push_back(Of(rank, board));
  if (!news.processes) return Line(json);
  json["processes"] = Json::array();
  for (const auto& [rank, sight] : *news.processes) {
    json["processes"].push_back(
        {{"rank", rank}, {"state", std::string(1, sight.state)}, {"stacks", sight.stacks}});
  }
  return Line(json);
}

NodeNews NodeNewsOf(std::string_view line, int all_ranks) {
  return Parsed(line, [&](const Json& json) {
    NodeNews news;
    news.host = json.at("host").get<std::string>();
    news.first_rank = json.at("first_rank").get<int>();
    news.ranks = json.at("ranks").get<int>();
    news.now = json.at("now").get<double>();
    if (news.first_rank < 0 || news.ranks < 1 || news.ranks > all_ranks - news.first_rank) {
      throw core::DataError("a block of ranks that is not of this run");
    }
    for (const Json& board : json.value("boards", Json::array())) {
      news.boards[RankOf(board, all_ranks)] = BoardOf(board, news.host);
    }
    if (!json.contains("processes")) return news;
    news.processes.emplace();
    for (const Json& process : json.at("processes")) {
      const auto state = process.at("state").get<std::string>();
      (*news.processes)[RankOf(process, all_ranks)] = {state.empty() ? '?' : state[0],
                                                       process.at("stacks").get<std::string>()};
    }
    return news;
  });
}

std::string ToLine(const NodeOrder& order) {
  Json json = {{"seconds", order.seconds}};
  for (const auto& [what, name] : kOrders) {
    if (what == order.what) json["order"] = name;
  }
  return Line(json);
}

NodeOrder NodeOrderOf(std::string_view line) {
  return Parsed(line, [&](const Json& json) {
    const auto asked = json.at("order").get<std::string>();
    for (const auto& [what, name] : kOrders) {
      if (asked == name) return NodeOrder{what, json.at("seconds").get<double>()};
    }
    throw core::DataError("an unknown order");
  });
}

rundir::BoardSnapshot OnOurClock(rundir::BoardSnapshot board, double seconds) {
  board.phase_began += seconds;
  for (rundir::BoardGroup& group : board.groups) group.changed_at += seconds;
  return board;
}

bool SameSecret(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  volatile unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  }
  return difference == 0;
}

std::optional<std::string> LineBuffer::Next() {
  const size_t end = bytes_.find('\n');
  const size_t size = end == std::string::npos ? bytes_.size() : end;
  if (size > longest_) {
    throw core::DataError("expected a line of at most " + std::to_string(longest_) +
                          " bytes, found " + std::to_string(size));
  }
  if (end == std::string::npos) return std::nullopt;
  std::string line = bytes_.substr(0, end);
  bytes_.erase(0, end + 1);
  return line;
}

}  // namespace moat::launch
