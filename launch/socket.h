// TCP sockets that never wait longer than they are told.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launch/lost_node.h"

namespace moat::launch {

// Owns a descriptor.
class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  ~Socket();
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept;
  int fd() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_;
};

// Waits for connections on any address, at a port that the system chooses. Throws Error (69).
Socket Listen(int* port);
// The next connection, not open where none waits; `address` is the other side's.
Socket Accept(const Socket& listener, std::string* address);
// Not open where there is no connection after `seconds` for each address the name has.
Socket Connect(const std::string& host, int port, double seconds);

// What has come so far, appended to `bytes`, `most` at most; what the connection is like then.
Link Receive(const Socket& socket, size_t most, std::string* bytes);
// How many bytes the system took, -1 where the connection is gone. Waits for nothing.
long Send(const Socket& socket, std::string_view bytes);

// Addresses of this host that others may reach, then its name.
std::vector<std::string> OwnAddresses();

}  // namespace moat::launch
