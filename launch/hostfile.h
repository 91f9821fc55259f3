// Open MPI's files of hosts: who is in one, and one without a host that was lost.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace moat::launch {

// The hosts, in order, each once: the first word of a line without user, slots and comment.
std::vector<std::string> HostsOf(const std::string& hostfile);

// Whether a name or address in a hostfile means the host that calls itself `host` and was seen at
// `address`. May ask the resolver.
bool Means(const std::string& entry, const std::string& host, const std::string& address);

// The text without the lines of that host; nullopt where it has none, or fewer than `nodes` hosts
// would be left.
std::optional<std::string> WithoutHost(const std::string& hostfile, const std::string& host,
                                       const std::string& address, int nodes);

}  // namespace moat::launch
