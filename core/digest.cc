// SHA-256 and HMAC through libcrypto's EVP interface.
#include "core/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <cinttypes>
#include <cstdio>

#include <cstring>

#include "core/error.h"

namespace moat::core {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  MOAT_CHECK(EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1, "libcrypto");
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(const void* data, size_t size) {
  MOAT_CHECK(EVP_DigestUpdate(state_->context, data, size) == 1, "libcrypto");
}

Sha256Digest Sha256::Finish() {
  Sha256Digest digest;
  MOAT_CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), nullptr) == 1, "libcrypto");
  return digest;
}

Sha256Digest Sha256Of(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

std::string Hex(const Sha256Digest& digest) {
  const char* digits = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : digest) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::string Hex(uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, value);
  return text;
}

uint64_t KeyedHash64(std::string_view key, std::string_view message) {
  uint8_t digest[32];
  unsigned int size = sizeof digest;
  MOAT_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                  reinterpret_cast<const uint8_t*>(message.data()), message.size(), digest, &size),
             "libcrypto");
  uint64_t value;
  std::memcpy(&value, digest, sizeof value);
  return value;
}

std::string RandomKey(size_t size) {
  std::string key(size, '\0');
  if (RAND_bytes(reinterpret_cast<uint8_t*>(key.data()), static_cast<int>(size)) != 1) {
    throw StorageError("the operating system gave no random bytes for a key");
  }
  return key;
}

std::string RandomHex(size_t bytes) {
  std::string text;
  char digits[3];
  for (const char byte : RandomKey(bytes)) {
    std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(byte) & 0xffu);
    text += digits;
  }
  return text;
}

}  // namespace moat::core
