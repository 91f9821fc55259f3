// Reading files of hosts.
#include "launch/hostfile.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>
#include <sstream>

namespace moat::launch {
namespace {

std::string HostOf(const std::string& line) {
  std::istringstream words(line.substr(0, line.find('#')));
  std::string host;
  words >> host;
  return host.substr(host.find('@') == std::string::npos ? 0 : host.find('@') + 1);
}

bool IsName(const std::string& text) {
  return text.find_first_not_of("0123456789.:abcdefABCDEF") != std::string::npos;
}

std::string Short(const std::string& name) { return name.substr(0, name.find('.')); }

}  // namespace

std::vector<std::string> HostsOf(const std::string& hostfile) {
  std::istringstream lines(hostfile);
  std::vector<std::string> hosts;
  for (std::string line; std::getline(lines, line);) {
    const std::string host = HostOf(line);
    if (host.empty() || std::find(hosts.begin(), hosts.end(), host) != hosts.end()) continue;
    hosts.push_back(host);
  }
  return hosts;
}

bool Means(const std::string& entry, const std::string& host, const std::string& address) {
  if (entry == host || entry == address) return true;
  if (IsName(entry) && Short(entry) == Short(host)) return true;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (getaddrinfo(entry.c_str(), nullptr, &hints, &list) != 0) return false;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(list, freeaddrinfo);
  for (const addrinfo* found = list; found != nullptr; found = found->ai_next) {
    char text[NI_MAXHOST] = "";
    getnameinfo(found->ai_addr, found->ai_addrlen, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
    if (address == text) return true;
  }
  return false;
}

std::optional<std::string> WithoutHost(const std::string& hostfile, const std::string& host,
                                       const std::string& address, int nodes) {
  std::istringstream lines(hostfile);
  std::string left;
  bool found = false;
  for (std::string line; std::getline(lines, line);) {
    const std::string entry = HostOf(line);
    const bool lost = !entry.empty() && Means(entry, host, address);
    found = found || lost;
    if (!lost) left += line + "\n";
  }
  if (!found || static_cast<int>(HostsOf(left).size()) < nodes) return std::nullopt;
  return left;
}

}  // namespace moat::launch
