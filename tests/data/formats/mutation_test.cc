// Damaged records: whatever the damage, a record becomes interactions or a reason, never a crash.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "core/rng.h"
#include "tests/data/formats/fixture.h"

namespace moat::data::formats {
namespace {

const std::vector<std::string>& Seeds() {
  static const auto* const seeds = new std::vector<std::string>{
      CoffeeLine(5),
      R"({"id": "a", "time": "2026-03-01T12:00:00.5+01:00", "user": 7, "weight": 0.5, )"
      R"("messages": [{"role": "user", "content": [{"type": "text", "text": "\u00e9"}]}, )"
      R"({"role": "assistant", "content": null, "tool_calls": [{"id": "1", "function": )"
      R"({"name": "f", "arguments": "{\"a\": [1, 2.5e3, null]}"}}]}, )"
      R"({"role": "tool", "content": "r"}]})",
      R"({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]})",
      R"({"prompt": "q", "chosen": [{"role": "assistant", "content": "c"}], "rejected": "r"})",
      R"({"instruction": "i", "input": "x", "output": "o", "outcome": "edited"})",
      R"([{"text": "a"}, {"text": "b", "meta": {"x": [{}]}}])",
      "prompt,completion,weight\n\"a \"\"b\"\"\",c,1\nd,e,0.5\n",
  };
  return *seeds;
}

// Deterministic: the n-th damage of a text.
std::string Damaged(std::string text, uint64_t n) {
  const uint64_t key = core::KeyFromName(n, "mutation");
  const auto draw = [&](uint64_t i, size_t below) {
    return static_cast<size_t>(core::RandomUniform(key, i) * static_cast<double>(below));
  };
  static constexpr std::string_view kTelling = "{}[]\",:\\0-e\n\r\t u";
  for (uint64_t i = 0; i <= n % 3 && !text.empty(); ++i) {
    const size_t at = draw(4 * i, text.size());
    switch (draw(4 * i + 1, 5)) {
      case 0:
        text[at] = static_cast<char>(text[at] ^ (1 << draw(4 * i + 2, 8)));
        break;
      case 1:
        text[at] = kTelling[draw(4 * i + 2, kTelling.size())];
        break;
      case 2:
        text.resize(at);
        break;
      case 3:
        text.erase(at, 1 + draw(4 * i + 2, 20));
        break;
      default:
        text.insert(at, text.substr(draw(4 * i + 2, text.size()), 30));
    }
  }
  return text;
}

void ExpectWhole(const KeepingSink& sink, const std::string& text) {
  for (const Interaction& interaction : sink.interactions) {
    EXPECT_FALSE(interaction.segments.empty()) << text;
    EXPECT_FALSE(interaction.id.empty()) << text;
    for (const Segment& segment : interaction.segments) {
      EXPECT_TRUE(std::isfinite(segment.weight) && segment.weight >= 0) << text;
      EXPECT_LT(static_cast<int>(segment.role), kRoles) << text;
    }
  }
  for (const std::string& reason : sink.bad) EXPECT_GT(reason.size(), 4u) << text;
}

// Not synchronised with the disk, for speed.
KeepingSink Read(const std::filesystem::path& file, const std::string& text,
                 const configs::RecordConfig& config) {
  std::ofstream(file, std::ios::binary) << text;
  KeepingSink sink;
  ImportRecords(file.string(), KindByName(file.string()), config, 2, &sink);
  return sink;
}

void TakeDamage(uint64_t first, uint64_t count) {
  configs::RecordConfig config;
  config.outcomes = {{"edited", 0.5}};
  const testing::TemporaryDirectory directory;
  int64_t good = 0, bad = 0;
  for (uint64_t n = first; n < first + count; ++n) {
    const std::string& seed = Seeds()[n % Seeds().size()];
    const std::string text = Damaged(seed, n);
    const bool table = seed.starts_with("prompt,");
    KeepingSink sink;
    try {
      sink = Read(directory / (table ? "a.csv" : "a.jsonl"), text, config);
    } catch (const core::DataError&) {
      ++bad;  // a table without a header
      continue;
    }
    ExpectWhole(sink, text);
    const bool blank = text.find_first_not_of(" \t\r\n[]") == std::string::npos;
    EXPECT_TRUE(blank || table || !sink.interactions.empty() || !sink.bad.empty()) << text;
    good += static_cast<int64_t>(sink.interactions.size());
    bad += static_cast<int64_t>(sink.bad.size());
  }
  EXPECT_GT(good, static_cast<int64_t>(count / 20));  // the damage is neither too much
  EXPECT_GT(bad, static_cast<int64_t>(count / 4));    // nor too little
}

TEST(DamagedRecords, BecomeInteractionsOrReasons) { TakeDamage(0, 700); }

TEST(DamagedRecordsSweep, BecomeInteractionsOrReasons) { TakeDamage(700, 40000); }

TEST(DamagedRecords, UndamagedOnesAreGood) {
  configs::RecordConfig config;
  config.outcomes = {{"edited", 0.5}};
  for (const std::string& seed : Seeds()) {
    const KeepingSink sink =
        Imported(seed.starts_with("prompt,") ? "a.csv" : "a.json", seed, config);
    EXPECT_GE(sink.interactions.size(), 1u) << seed;
  }
}

}  // namespace
}  // namespace moat::data::formats
