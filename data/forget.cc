// Blanks, shard by shard; the index's replacement is the commit.
#include "data/forget.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/digest.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/fault.h"
#include "core/logging.h"
#include "data/chat_template.h"
#include "data/dataset_lock.h"
#include "data/index.h"
#include "data/leftovers.h"
#include "data/shard_reader.h"
#include "data/shard_writer.h"
#include "data/user_key.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kRun = 1024;  // interactions read at a time

int64_t CountOf(const ShardReader& reader, uint64_t user) {
  int64_t count = 0;
  for (int64_t first = 0; first < reader.interactions(); first += kRun) {
    const int64_t size = std::min(kRun, reader.interactions() - first);
    const std::vector<uint64_t> users = reader.ReadKeys(first, size).user;
    count += std::count(users.begin(), users.end(), user);
  }
  return count;
}

// Interaction `i` of a run, as the shard writer takes it.
struct Stored {
  Interaction interaction;
  EncodedInteraction encoded;
  StoredIds ids;
};

Stored Take(const StoredInteractions& run, const StoredKeys& keys, int64_t i) {
  const auto at = static_cast<size_t>(i);
  Stored stored;
  stored.ids = {keys.id[at], keys.user[at], keys.request[at]};
  stored.interaction.time_micros = keys.time[at];
  const int64_t begin = run.TokenStart(i);
  stored.encoded.tokens.assign(run.tokens.begin() + begin,
                               run.tokens.begin() + run.TokenStart(i + 1));
  for (int64_t s = run.first_segment[at]; s < run.first_segment[at + 1]; ++s) {
    const auto segment = static_cast<size_t>(s);
    stored.encoded.segment_start.push_back(run.segment_start[segment] - begin);
    stored.interaction.segments.push_back({run.role[segment], run.weight[segment], ""});
  }
  return stored;
}

void MakeBlank(int32_t filler, Stored* stored) {
  stored->ids = {};
  stored->interaction.time_micros = 0;
  const auto size = static_cast<int64_t>(stored->encoded.tokens.size());
  for (size_t s = 0; s < stored->interaction.segments.size(); ++s) {
    stored->interaction.segments[s].weight = 0;
    const bool last = s + 1 == stored->interaction.segments.size();
    const int64_t end = last ? size : stored->encoded.segment_start[s + 1];
    const int64_t begin = stored->encoded.segment_start[s] + HeaderTokens(s == 0);
    std::fill(stored->encoded.tokens.begin() + begin, stored->encoded.tokens.begin() + end - 1,
              filler);
  }
}

// "shards/train-00003.h5" or "shards/train-00003.v2.h5" -> "shards/train-00003.v5.h5".
std::string NameIn(const std::string& file, size_t version) {
  const std::string stem = file.substr(0, file.find('.'));
  return stem + ".v" + std::to_string(version) + ".h5";
}

class Forgetting {
 public:
  Forgetting(const fs::path& directory, uint64_t user)
      : directory_(directory),
        user_(user),
        index_(ReadIndex(directory)),
        filler_(Tokenizer::Load(directory / "tokenizer.model").Encode(" ").at(0)) {}

  ForgetReport Run() {
    for (ShardEntry& shard : index_.shards) {
      const ShardReader reader(directory_, shard, index_.vocab_size);
      if (const int64_t count = CountOf(reader, user_); count > 0) {
        core::Log() << shard.file << ": " << count << " interactions become blanks";
        shard = Rewrite(reader);
      }
    }
    if (report_.interactions > 0) {
      ClearQuarantine();
      core::FaultPoint("forget.before_index");
      AddVersion(&index_, "forget", report_.interactions);
      WriteIndex(directory_, index_);
      core::FaultPoint("forget.after_index");
    }
    report_.files_removed = RemoveLeftovers(directory_, index_);
    report_.version = static_cast<int>(index_.history.size());
    return report_;
  }

 private:
  ShardEntry Rewrite(const ShardReader& reader) {
    ShardWriter writer({index_.vocab_size, index_.tokenizer_digest, index_.template_digest});
    for (int64_t first = 0; first < reader.interactions(); first += kRun) {
      const int64_t size = std::min(kRun, reader.interactions() - first);
      const StoredInteractions run = reader.ReadInteractions(first, size);
      const StoredKeys keys = reader.ReadKeys(first, size);
      for (int64_t i = 0; i < size; ++i) {
        Stored stored = Take(run, keys, i);
        if (stored.ids.user == user_) {
          ++report_.interactions;
          report_.tokens += static_cast<int64_t>(stored.encoded.tokens.size());
          MakeBlank(filler_, &stored);
        }
        writer.Add(stored.interaction, stored.encoded, stored.ids);
      }
    }
    ++report_.shards;
    return writer.Seal(directory_, NameIn(reader.entry().file, index_.history.size() + 1),
                       reader.entry().split);
  }

  // A record that could not be read may be anyone's.
  void ClearQuarantine() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(directory_)) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("quarantine.") && name.ends_with(".jsonl")) {
        files.push_back(entry.path());
      }
    }
    for (const fs::path& file : files) ClearTexts(file);
  }

  static void ClearTexts(const fs::path& path) {
    std::ifstream stream(path);
    std::string text;
    for (std::string line; std::getline(stream, line);) {
      json record = json::parse(line, nullptr, false);
      if (!record.is_object()) continue;
      record["text"] = "";
      text += record.dump() + "\n";
    }
    core::WriteFileAtomically(path, text);
  }

  fs::path directory_;
  uint64_t user_;
  Index index_;
  int32_t filler_;
  ForgetReport report_;
};

}  // namespace

ForgetReport Forget(const fs::path& directory, const std::string& user,
                    const std::string& key_file) {
  if (user.empty()) throw core::ConfigError("--user=ID is missing: name whom to forget");
  ReadIndex(directory);  // refuses what is no data set under its own name
  const DatasetLock lock(directory);
  return Forgetting(directory, HashOfUser(ReadUserKey(directory, key_file), user)).Run();
}

}  // namespace moat::data
