// SHA-256 digests and keyed hashes (OpenSSL libcrypto).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace moat::core {

using Sha256Digest = std::array<uint8_t, 32>;

// An incremental SHA-256. Movable, not copyable.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void Update(const void* data, size_t size);
  void Update(std::string_view text) { Update(text.data(), text.size()); }
  Sha256Digest Finish();  // once

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Sha256Digest Sha256Of(std::string_view bytes);
std::string Hex(const Sha256Digest& digest);  // 64 lower-case digits
std::string Hex(uint64_t value);              // 16

// HMAC-SHA-256 (RFC 2104) cut to its first 64 bits, little-endian: how user and interaction ids are
// stored.
uint64_t KeyedHash64(std::string_view key, std::string_view message);

// `size` bytes from the operating system's generator, for keys. Throws StorageError if there are
// none.
std::string RandomKey(size_t size);
// The same as lower-case hexadecimal digits, two a byte: for names and tokens.
std::string RandomHex(size_t bytes);

}  // namespace moat::core
