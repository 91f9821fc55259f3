// Records from templates and word lists; every choice is drawn by (seed, number, how many-th
// choice).
#include "data/synth.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "core/clock.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "core/rng.h"
#include "data/progress.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// The random choices of one record, one after the other.
class Draws {
 public:
  Draws(uint64_t seed, std::string_view what, int64_t number)
      : key_(core::RandomBits(core::KeyFromName(seed, what), static_cast<uint64_t>(number))) {}

  uint64_t Below(uint64_t limit) { return core::RandomBits(key_, next_++) % limit; }
  double Share() { return static_cast<double>(core::RandomUniform(key_, next_++)); }
  template <size_t n>
  std::string Of(const std::array<const char*, n>& words) {
    return words[Below(n)];
  }
  std::string Number(uint64_t limit) { return std::to_string(Below(limit)); }

 private:
  uint64_t key_;
  uint64_t next_ = 0;
};

constexpr std::array<const char*, 12> kDrinks = {
    "espresso",  "cappuccino", "flat white", "chai latte", "mocha",     "americano",
    "macchiato", "hot cocoa",  "green tea",  "oat latte",  "cold brew", "café crème"};
constexpr std::array<const char*, 8> kSizes = {"small", "regular", "large",  "double",
                                               "tall",  "kleine",  "grande", "大"};
constexpr std::array<const char*, 10> kOpenings = {
    "Hi, ",    "Hello! ",          "",        "", "Good morning, ", "Hey ",
    "Sorry, ", "Quick question: ", "¡Hola! ", ""};
constexpr std::array<const char*, 10> kProducts = {
    "the invoice export", "the mobile app",  "my dashboard",   "the nightly backup",
    "single sign-on",     "the search page", "the VPN client", "the report view",
    "our webhook",        "the importer"};
constexpr std::array<const char*, 10> kProblems = {
    "stopped working after the update", "shows an empty page",
    "times out every few minutes",      "asks me to log in again",
    "is slower than last week",         "sends every message twice",
    "lost yesterday's entries",         "prints the wrong currency",
    "rejects valid addresses",          "cannot find files with umlauts (äöü)"};
constexpr std::array<const char*, 10> kAdvice = {"Please clear the cache and sign in once more",
                                                 "I have restarted the service for your account",
                                                 "That is fixed in the version we release tonight",
                                                 "Could you send the time of the last failure",
                                                 "Your plan allows ten connections at a time",
                                                 "I changed the setting; it takes five minutes",
                                                 "We see the same in our logs and are on it",
                                                 "Turn on the compatibility switch under Settings",
                                                 "The certificate had expired and is renewed",
                                                 "You can undo this within thirty days"};
constexpr std::array<const char*, 10> kNouns = {"row",   "user",  "token", "price", "event",
                                                "batch", "frame", "node",  "shard", "label"};
constexpr std::array<const char*, 8> kVerbs = {"load", "merge",  "count", "parse",
                                               "sort", "filter", "write", "check"};
constexpr std::array<const char*, 12> kFillers = {
    "the team agreed on it",    "numbers are in the sheet",  "nothing else changed",
    "we tried it twice",        "the customer was patient",  "it rained all day",
    "tests pass on both hosts", "the meeting moved to nine", "costs went down a little",
    "someone should own this",  "ドキュメントを更新した",    "die Frist ist Freitag"};

struct Record {
  json messages = json::array();
  std::optional<std::string> outcome;
  bool pair = false;  // of two answers to one request
};

void Say(Record* record, const char* role, std::string text) {
  record->messages.push_back({{"role", role}, {"content", std::move(text)}});
}

Record Order(Draws* draws) {
  Record record;
  const std::string drink = draws->Of(kDrinks);
  const std::string id = std::to_string(10'000 + draws->Below(90'000));
  Say(&record, "user", draws->Of(kOpenings) + "a " + draws->Of(kSizes) + " " + drink + " please");
  Say(&record, "assistant",
      json{{"call", "add_item"}, {"arguments", {{"name", drink}, {"count", 1 + draws->Below(3)}}}}
          .dump());
  Say(&record, "tool", json{{"order_id", id}, {"ok", true}}.dump());
  if (draws->Share() < 0.5) {
    Say(&record, "assistant", "Anything else with the " + drink + "?");
    Say(&record, "user",
        draws->Share() < 0.7 ? "no thanks" : "yes, for the name " + draws->Of(kNouns));
  }
  Say(&record, "assistant", json{{"call", "finish"}, {"arguments", {{"order_id", id}}}}.dump());
  return record;
}

Record Support(Draws* draws) {
  Record record;
  std::string question =
      draws->Of(kOpenings) + draws->Of(kProducts) + " " + draws->Of(kProblems) + ".";
  if (draws->Share() < 0.05) {
    question += " Write to " + draws->Of(kNouns) + draws->Number(1000) + "@example.org.";
  } else if (draws->Share() < 0.05) {
    question += " Call +1 415-555-" + std::to_string(1000 + draws->Below(9000)) + ".";
  }
  Say(&record, "user", question);
  Say(&record, "assistant", draws->Of(kAdvice) + ". Ticket " + draws->Number(1'000'000) + ".");
  while (draws->Share() < 0.4) {
    Say(&record, "user", "It still " + draws->Of(kProblems) + ", and " + draws->Of(kFillers) + ".");
    Say(&record, "assistant", draws->Of(kAdvice) + ".");
  }
  return record;
}

Record Suggestion(Draws* draws) {
  Record record;
  const std::string noun = draws->Of(kNouns);
  const std::string verb = draws->Of(kVerbs);
  const std::string other = draws->Of(kNouns);
  const std::string number = draws->Number(10'000);
  Say(&record, "user",
      "// " + verb + "s every " + noun + " of a " + other + "\nvoid " + verb + "_" + noun + number +
          "(");
  Say(&record, "assistant",
      other + "* from) {\n  for (auto& " + noun + " : from->" + noun + "s()) {\n    " + verb + "(" +
          noun + ", " + number + ");\n  }\n}");
  const double share = draws->Share();
  record.outcome = share < 0.5 ? "accepted" : share < 0.7 ? "edited" : "rejected";
  return record;
}

Record Answer(Draws* request, Draws* draws) {
  Record record;
  record.pair = true;
  Say(&record, "user",
      "Summarise in one line: " + request->Of(kProducts) + " " + request->Of(kProblems) + "; " +
          request->Of(kFillers) + " (" + request->Number(1'000'000) + ").");
  Say(&record, "assistant", draws->Of(kAdvice) + ", since " + draws->Of(kFillers) + ".");
  record.outcome = draws->Share() < 0.5 ? "accepted" : "rejected";
  return record;
}

Record Note(Draws* draws) {
  Record record;
  std::string text = "# " + draws->Of(kProducts) + " " + draws->Number(100'000) + "\n";
  const uint64_t lines = 2 + draws->Below(12);
  for (uint64_t i = 0; i < lines; ++i) {
    text += "- " + draws->Of(kFillers) + ", " + draws->Of(kProducts) + " " + draws->Of(kProblems) +
            "\n";
  }
  Say(&record, "text", text);
  return record;
}

// Consecutive records 2k and 2k+1 are of one kind, so that a pair answers one request.
Record ContentOf(uint64_t seed, int64_t number) {
  Draws shared(seed, "kind", number / 2);
  Draws draws(seed, "content", number);
  const double kind = shared.Share();
  if (kind < 0.35) return Order(&draws);
  if (kind < 0.65) return Support(&draws);
  if (kind < 0.85) return Suggestion(&draws);
  if (kind < 0.95) return Answer(&shared, &draws);
  return Note(&draws);
}

std::string BadLine(Draws* draws, const std::string& line) {
  switch (draws->Below(4)) {
    case 0:
      return line.substr(0, line.size() / 2);
    case 1:
      return R"({"messages": []})";
    case 2:
      return R"({"messages": [{"role": "nobody", "content": "who?"}]})";
    default:
      return "2026-03-01 12:00:00 INFO rotated the log";
  }
}

}  // namespace

std::string SynthLine(const configs::SynthConfig& config, int64_t number) {
  constexpr int64_t kFirstSecond = 1'767'225'600;  // 2026-01-01
  Draws draws(config.seed, "record", number);
  const double repeats = draws.Share();
  const bool near = repeats >= config.duplicates;
  const bool repeated = number > 0 && repeats < config.duplicates + config.near_duplicates;
  const auto source =
      static_cast<int64_t>(draws.Below(static_cast<uint64_t>(std::max<int64_t>(number, 1))));
  Record record = ContentOf(config.seed, repeated ? source : number);
  if (repeated && near) {
    auto& last = record.messages.back()["content"].get_ref<std::string&>();
    last += " (" + draws.Of(kFillers) + ")";
  }
  const int64_t users = config.users > 0 ? config.users : config.interactions / 50 + 1;
  const double share = draws.Share();
  const auto user =
      static_cast<int64_t>(share * share * static_cast<double>(users));  // a few say much
  json line = {{"id", "syn-" + std::to_string(number)},
               {"user", "u" + std::to_string(user)},
               {"time", kFirstSecond + number},
               {"messages", std::move(record.messages)}};
  if (record.outcome) line["outcome"] = *record.outcome;
  if (record.pair && !repeated) line["request"] = "req-" + std::to_string(number / 2);
  std::string text = line.dump();
  if (draws.Share() < config.bad) text = BadLine(&draws, text);
  return text + "\n";
}

namespace {

// Standard output, or a file that is renamed when it is complete.
class Output {
 public:
  explicit Output(const std::string& out) : path_(out) {
    if (out == "-") return;
    partial_ = path_.string() + ".partial";
    file_.emplace(partial_);
  }
  void Write(std::string_view bytes) {
    written_ += static_cast<int64_t>(bytes.size());
    if (file_) return file_->Write(bytes);
    while (!bytes.empty()) {
      const ssize_t done = write(STDOUT_FILENO, bytes.data(), bytes.size());
      if (done < 0 && errno == EINTR) continue;
      if (done <= 0) throw core::StorageError("cannot write to standard output");
      bytes.remove_prefix(static_cast<size_t>(done));
    }
  }
  int64_t Commit() {
    if (file_) {
      file_->SyncAndClose();
      core::RenameDurably(partial_, path_);
      partial_.clear();
    }
    return written_;
  }
  int64_t written() const { return written_; }
  ~Output() {
    std::error_code ignored;
    if (!partial_.empty()) fs::remove(partial_, ignored);
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

 private:
  fs::path path_, partial_;
  std::optional<core::FileWriter> file_;
  int64_t written_ = 0;
};

// Records [begin, end), made by all threads, in order.
std::vector<std::string> MakeLines(const configs::SynthConfig& config, int64_t begin, int64_t end,
                                   int threads) {
  std::vector<std::string> parts(static_cast<size_t>(threads));
  std::vector<std::jthread> workers;
  for (int t = 0; t < threads; ++t) {
    workers.emplace_back([&, t] {
      const int64_t size = end - begin;
      for (int64_t n = begin + size * t / threads; n < begin + size * (t + 1) / threads; ++n) {
        parts[static_cast<size_t>(t)] += SynthLine(config, n);
      }
    });
  }
  workers.clear();  // joins
  return parts;
}

}  // namespace

int64_t WriteSynth(const configs::SynthConfig& config) {
  constexpr int64_t kBatch = 32 << 10;
  const int threads = core::ThreadsOf(config.threads);
  Output output(config.out);
  Progress progress("made", 0, config.interactions);
  for (int64_t done = 0; done < config.interactions;) {
    const int64_t end = std::min(config.interactions, done + kBatch);
    for (const std::string& part : MakeLines(config, done, end, threads)) output.Write(part);
    done = end;
    progress.Report(done, output.written());
  }
  return output.Commit();
}

}  // namespace moat::data
