// What the supervisor and the watchers of other nodes say to each other: values and lines of text.
// Pure. docs/node-watch.md is the page about it.
//
// A watcher connects, sends the token and a newline, and from then on each side sends lines: JSON
// objects, at most kLongestLine bytes each.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launch/process_sight.h"
#include "rundir/board.h"

namespace moat::launch {

inline constexpr size_t kTokenBytes = 32;          // hexadecimal digits: 128 bits
inline constexpr size_t kLongestLine = 1u << 20;   // a report with stacks
inline constexpr size_t kLongestOrder = 1u << 10;  // what a watcher is sent

// What a rank finds in its environment: where the supervisor waits, and for whom.
struct Invitation {
  std::string host;  // the supervisor's, whose ranks need no watcher
  int port = 0;
  int ranks_per_node = 1;  // nodes have blocks of so many ranks
  std::string token;
  std::vector<std::string> addresses;  // of the supervisor, to be tried in this order
  bool operator==(const Invitation&) const = default;
};
std::string ToText(const Invitation& invitation);                 // words
std::optional<Invitation> InvitationOf(const std::string& text);  // nullopt: it is none

// From a watcher. Times in boards are of `now`'s clock.
struct NodeNews {
  std::string host;
  int first_rank = 0;
  int ranks = 1;                                         // of its block
  double now = 0;                                        // core::MonotonicSeconds() of the node
  std::map<int, rundir::BoardSnapshot> boards;           // by rank; those that changed
  std::optional<std::map<int, ProcessSight>> processes;  // the answer to kReport
};
std::string ToLine(const NodeNews& news);  // with its newline
// Throws DataError for anything else, ranks outside of 0..all_ranks-1 included.
NodeNews NodeNewsOf(std::string_view line, int all_ranks);

// To a watcher.
struct NodeOrder {
  enum class What {
    kWelcome,  // the token was right
    kReport,   // look at the processes of the ranks
    kEnd,      // kill ranks that are still there after `seconds`; when none is, end yourself
  };
  What what = What::kWelcome;
  double seconds = 0;
};
std::string ToLine(const NodeOrder& order);
NodeOrder NodeOrderOf(std::string_view line);  // throws DataError

// A board whose times are of another clock, which is behind by `seconds`.
rundir::BoardSnapshot OnOurClock(rundir::BoardSnapshot board, double seconds);

// Whether they are equal, in a time that does not tell where they differ.
bool SameSecret(std::string_view a, std::string_view b);

// Bytes that come in pieces, as lines.
class LineBuffer {
 public:
  explicit LineBuffer(size_t longest) : longest_(longest) {}
  void Add(std::string_view bytes) { bytes_ += bytes; }
  // The next whole line, without its newline. Throws DataError once it is longer than allowed,
  // whole or not.
  std::optional<std::string> Next();

 private:
  size_t longest_;
  std::string bytes_;
};

}  // namespace moat::launch
