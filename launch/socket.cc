// TCP by system calls. A host that does not answer ends a connection after kUnansweredSeconds.
#include "launch/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "core/error.h"
#include "core/host.h"

namespace moat::launch {
namespace {

constexpr int kKind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;

void Set(int fd, int level, int option, int value) {
  setsockopt(fd, level, option, &value, sizeof value);
}

// The kernel asks a silent host every two seconds whether it is there.
void NoticeSilence(int fd) {
  Set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  Set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 2);
  Set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 2);
  Set(fd, IPPROTO_TCP, TCP_KEEPCNT, kUnansweredSeconds / 2 - 1);
  Set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, kUnansweredSeconds * 1000);
  Set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

std::string Numeric(const sockaddr* address, socklen_t size) {
  char text[NI_MAXHOST] = "";
  getnameinfo(address, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST);
  const std::string name = text;
  const std::string mapped = "::ffff:";  // an IPv4 address, seen by a socket of IPv6
  return name.starts_with(mapped) ? name.substr(mapped.size()) : name;
}

bool Finished(int fd, double seconds) {
  pollfd wait = {fd, POLLOUT, 0};
  if (poll(&wait, 1, static_cast<int>(seconds * 1e3)) != 1) return false;
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

bool IsUsable(const ifaddrs& entry) {
  if (entry.ifa_addr == nullptr || (entry.ifa_flags & IFF_UP) == 0) return false;
  if ((entry.ifa_flags & IFF_LOOPBACK) != 0) return false;
  if (entry.ifa_addr->sa_family == AF_INET) return true;
  if (entry.ifa_addr->sa_family != AF_INET6) return false;
  const auto* const six = reinterpret_cast<const sockaddr_in6*>(entry.ifa_addr);
  return !IN6_IS_ADDR_LINKLOCAL(&six->sin6_addr);
}

}  // namespace

Socket::~Socket() {
  if (fd_ >= 0) close(fd_);
}

Socket& Socket::operator=(Socket&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Socket Listen(int* port) {
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  sockaddr_in four{};
  four.sin_family = AF_INET;
  Socket socket(::socket(AF_INET6, kKind, 0));
  if (socket.open()) Set(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  if (!socket.open() ||
      bind(socket.fd(), reinterpret_cast<const sockaddr*>(&six), sizeof six) != 0) {
    socket = Socket(::socket(AF_INET, kKind, 0));  // a host without IPv6
    bind(socket.fd(), reinterpret_cast<const sockaddr*>(&four), sizeof four);
  }
  sockaddr_in6 own{};
  socklen_t size = sizeof own;
  if (listen(socket.fd(), 128) != 0 ||
      getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&own), &size) != 0) {
    throw core::Error(core::ExitCode::kNode,
                      std::string("cannot listen on a TCP port: ") + std::strerror(errno));
  }
  *port = ntohs(own.sin6_port);  // at the same place in both families
  return socket;
}

Socket Accept(const Socket& listener, std::string* address) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  Socket socket(accept4(listener.fd(), reinterpret_cast<sockaddr*>(&peer), &size,
                        SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!socket.open()) return socket;
  NoticeSilence(socket.fd());
  *address = Numeric(reinterpret_cast<const sockaddr*>(&peer), size);
  return socket;
}

Socket Connect(const std::string& host, int port, double seconds) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) return Socket();
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(list, freeaddrinfo);
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    Socket socket(::socket(entry->ai_family, kKind, 0));
    if (!socket.open()) continue;
    const int begun = connect(socket.fd(), entry->ai_addr, entry->ai_addrlen);
    if (begun != 0 && errno != EINPROGRESS) continue;
    if (begun != 0 && !Finished(socket.fd(), seconds)) continue;
    NoticeSilence(socket.fd());
    return socket;
  }
  return Socket();
}

Link Receive(const Socket& socket, size_t most, std::string* bytes) {
  char buffer[65536];
  while (most > 0) {
    const ssize_t n = recv(socket.fd(), buffer, std::min(most, sizeof buffer), 0);
    if (n == 0) return Link::kBroken;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Link::kUp;
    if (n < 0) {
      const bool unanswered =
          errno == ETIMEDOUT || errno == EHOSTUNREACH || errno == ENETUNREACH || errno == EHOSTDOWN;
      return unanswered ? Link::kUnreachable : Link::kBroken;
    }
    bytes->append(buffer, static_cast<size_t>(n));
    most -= static_cast<size_t>(n);
  }
  return Link::kUp;
}

long Send(const Socket& socket, std::string_view bytes) {
  const ssize_t n = send(socket.fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n >= 0) return n;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : -1;
}

std::vector<std::string> OwnAddresses() {
  std::vector<std::string> addresses;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) == 0) {
    for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
      if (!IsUsable(*entry)) continue;
      const bool four = entry->ifa_addr->sa_family == AF_INET;
      addresses.push_back(
          Numeric(entry->ifa_addr, four ? sizeof(sockaddr_in) : sizeof(sockaddr_in6)));
    }
    freeifaddrs(list);
  }
  addresses.push_back(core::HostName());
  return addresses;
}

}  // namespace moat::launch
