// Keyed hashes, each kind in a domain of its own.
#include "data/user_key.h"

#include "core/digest.h"
#include "core/durable_file.h"
#include "core/error.h"

namespace moat::data {

namespace fs = std::filesystem;

std::string ReadUserKey(const fs::path& directory, const std::string& key_file) {
  const fs::path path = key_file.empty() ? directory / kUserKeyFile : fs::path(key_file);
  if (!fs::is_regular_file(path)) {
    throw core::ConfigError(key_file.empty()
                                ? path.string() +
                                      " is absent: the data set was imported with a key of "
                                      "its own; name it with --user_key=FILE"
                                : "--user_key=" + key_file + ": there is no such file");
  }
  std::string key = core::ReadWholeFile(path);
  if (key.size() != kUserKeyBytes) {
    throw core::ConfigError(path.string() + " is no user key: expected 32 bytes, found " +
                            std::to_string(key.size()));
  }
  return key;
}

uint64_t HashOfId(const std::string& key, const std::string& id) {
  return core::KeyedHash64(key, "id:" + id);
}
uint64_t HashOfUser(const std::string& key, const std::string& user) {
  return core::KeyedHash64(key, "user:" + user);
}
uint64_t HashOfRequest(const std::string& key, const std::string& request) {
  return core::KeyedHash64(key, "request:" + request);
}

std::string KeyCheck(const std::string& key) {
  const uint64_t hash = core::KeyedHash64(key, "check:");
  return core::Hex(core::Sha256Of(std::to_string(hash))).substr(0, 16);
}

}  // namespace moat::data
