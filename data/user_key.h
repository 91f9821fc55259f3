// The key that turns ids, users and requests into the 64-bit numbers that shards keep.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace moat::data {

inline constexpr const char* kUserKeyFile = "user.key";  // in the data set, mode 0600
inline constexpr size_t kUserKeyBytes = 32;

// The key in `key_file`, or, where that is "", in DIR/user.key. Throws ConfigError.
std::string ReadUserKey(const std::filesystem::path& directory, const std::string& key_file);

// HMAC-SHA-256 cut to 64 bits.
uint64_t HashOfId(const std::string& key, const std::string& id);
uint64_t HashOfUser(const std::string& key, const std::string& user);
uint64_t HashOfRequest(const std::string& key, const std::string& request);

// Tells the key from others and says nothing else about it: a hash in a domain of its own, in hex.
std::string KeyCheck(const std::string& key);

}  // namespace moat::data
