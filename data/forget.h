// `moat data forget`: takes a user's interactions out of a data set, for good.
//
// Each becomes a blank: the same segments and lengths, so that every sample keeps its number, but
// with filler for text, weight 0, and no id, user, time or request. Shards that held any are
// written anew under new names; then the index moves to a new version in one step; then the old
// files are removed. A kill in between leaves either the old data set or the new one, and the next
// forget or append removes files that the index does not name. What an append that was killed had
// read goes too.
//
// Not undone: what models learned (moat data stat --user before, and capsules, tell which), pieces
// of the tokenizer, and copies made elsewhere. Runs that have the old files open read them until
// they end.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace moat::data {

struct ForgetReport {
  int64_t interactions = 0;  // made blank
  int64_t tokens = 0;        // of them
  int64_t shards = 0;        // written anew
  int64_t files_removed = 0;
  int version = 0;  // of the data set now
};

// `user` as it was in the input; `key_file` "": DIR/user.key. A user without interactions changes
// nothing but leftover files. Texts in quarantine*.jsonl, whoever said them, are cleared with the
// first interaction forgotten. Throws ConfigError, DataError, StorageError.
ForgetReport Forget(const std::filesystem::path& directory, const std::string& user,
                    const std::string& key_file);

}  // namespace moat::data
