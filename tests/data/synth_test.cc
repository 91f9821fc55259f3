// Invented interactions: the same for the same seed, readable, and as mixed as promised.
#include "data/synth.h"

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "data/formats/record_file.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

using nlohmann::json;

std::string Whole(configs::SynthConfig config, const std::filesystem::path& path, int threads) {
  config.out = path.string();
  config.threads = threads;
  const int64_t bytes = WriteSynth(config);
  std::string text = core::ReadWholeFile(path);
  EXPECT_EQ(bytes, static_cast<int64_t>(text.size()));
  return text;
}

TEST(Synth, WritesTheSameBytesWithAnyThreadsAndLongerFilesBeginAlike) {
  const testing::TemporaryDirectory directory;
  configs::SynthConfig config;
  config.interactions = 40'000;  // more than a batch
  config.users = 100;
  const std::string one = Whole(config, directory / "one", 1);
  EXPECT_EQ(Whole(config, directory / "three", 3), one);
  config.interactions = 500;
  EXPECT_TRUE(one.starts_with(Whole(config, directory / "short", 2)));
  config.seed = 2;
  EXPECT_FALSE(one.starts_with(Whole(config, directory / "other", 2)));
  EXPECT_FALSE(std::filesystem::exists(directory / "one.partial"));
}

TEST(Synth, RecordsAreReadableAndMixed) {
  configs::SynthConfig config;
  config.interactions = 4000;
  std::set<std::string> texts, users;
  std::map<std::string, int> requests, roles, outcomes;
  int64_t bytes = 0;
  for (int64_t n = 0; n < config.interactions; ++n) {
    const std::string line = SynthLine(config, n);
    const Interaction interaction = formats::ParseRecord(line, {}, "name").at(0);
    const json record = json::parse(line);
    EXPECT_EQ(interaction.id, "syn-" + std::to_string(n));
    EXPECT_GT(interaction.time_micros, 0);
    users.insert(interaction.user);
    texts.insert(record["messages"].dump());
    bytes += interaction.TextBytes();
    for (const Segment& segment : interaction.segments) ++roles[Name(segment.role)];
    if (record.contains("request")) ++requests[record["request"]];
    if (record.contains("outcome")) ++outcomes[record["outcome"]];
  }
  const double repeated = 1 - static_cast<double>(texts.size()) / 4000;
  EXPECT_GT(repeated, 0.01);  // --duplicates=0.02, and chance
  EXPECT_LT(repeated, 0.06);
  EXPECT_GT(users.size(), 40u);
  EXPECT_GT(requests.size(), 100u);
  int pairs = 0;
  for (const auto& [request, count] : requests) {
    EXPECT_LE(count, 2) << request;
    pairs += count == 2 ? 1 : 0;
  }
  EXPECT_GT(pairs, 100);
  EXPECT_EQ(outcomes.size(), 3u);
  for (const char* role : {"user", "assistant", "tool", "text"})
    EXPECT_GT(roles[role], 100) << role;
  EXPECT_GT(bytes / 4000, 150);
  EXPECT_LT(bytes / 4000, 350);
}

TEST(Synth, BadRecordsAreAsManyAsAskedForAndUnreadable) {
  configs::SynthConfig config;
  config.interactions = 2000;
  config.bad = 0.1;
  int bad = 0;
  for (int64_t n = 0; n < config.interactions; ++n) {
    try {
      formats::ParseRecord(SynthLine(config, n), {}, "name");
    } catch (const core::DataError&) {
      ++bad;
    }
  }
  EXPECT_GT(bad, 150);
  EXPECT_LT(bad, 250);
}

TEST(Synth, AFileThatCannotBeWrittenLeavesNothing) {
  const testing::TemporaryDirectory directory;
  configs::SynthConfig config;
  config.out = (directory / "no/such/file").string();
  ErrorOf(core::ExitCode::kStorage, [&] { WriteSynth(config); });
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 0);
}

}  // namespace
}  // namespace moat::data
