// Small inputs and data sets for the tests of data/.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "configs/import_config.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "data/import.h"
#include "data/import_sink.h"
#include "tests/support/errors.h"
#include "tests/support/temporary_directory.h"

namespace moat::data {

inline void WriteText(const std::filesystem::path& path, std::string_view text) {
  std::filesystem::create_directories(path.parent_path());
  core::WriteFileAtomically(path, text);
}

using testing::Contains;
using testing::ErrorOf;

// A coffee bar's dialog: tool calls as JSON in JSON, sizes that differ.
inline std::string CoffeeLine(int i) {
  const std::string n = std::to_string(i);
  const std::vector<std::string> drinks = {"mocha", "chai latte", "espresso", "flat white"};
  const std::string& drink = drinks[static_cast<size_t>(i) % drinks.size()];
  std::string line = R"({"id": "dlg-)" + n +
                     R"(", "messages": [{"role": "user", "content": "one )" + drink + " number " +
                     n + R"( please"}, {"role": "assistant", "content": )" +
                     R"("{\"call\": \"add\", \"arguments\": \"{\\\"item\\\": \\\")" + drink +
                     R"(\\\"}\"}"}, {"role": "tool", "content": "{\"ok\":true}", "name": "add"})";
  for (int k = 0; k < i % 7; ++k) {
    line += R"(, {"role": "assistant", "content": "anything else with the )" + drink + "? round " +
            std::to_string(k) + R"("}, {"role": "user", "content": "no )" + n + R"("})";
  }
  return line + R"(, {"role": "assistant", "content": "done, )" + n + R"("}]})" + "\n";
}

inline std::string CoffeeLines(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += CoffeeLine(i);
  return text;
}

inline configs::ImportConfig ImportOf(const std::filesystem::path& in,
                                      const std::filesystem::path& out) {
  configs::ImportConfig config;
  config.in = {in.string()};
  config.out = out.string();
  config.vocab_size = 600;
  config.validation_fraction = 0.1;
  config.threads = 2;
  return config;
}

// A directory with a data set of `dialogs` coffee dialogs in "set".
class CoffeeSet {
 public:
  explicit CoffeeSet(int dialogs, int64_t shard_tokens = 1 << 20) {
    WriteText(directory_ / "coffee.jsonl", CoffeeLines(dialogs));
    configs::ImportConfig config = ImportOf(directory_ / "coffee.jsonl", path());
    config.shard_tokens = shard_tokens;
    report = Import(config);
  }
  std::filesystem::path path() const { return directory_ / "set"; }
  std::filesystem::path root() const { return directory_.path(); }
  ImportReport report;

 private:
  testing::TemporaryDirectory directory_;
};

// Keeps what an importer gives.
class KeepingSink : public ImportSink {
 public:
  void Add(Interaction interaction) override { interactions.push_back(std::move(interaction)); }
  void Quarantine(const std::string& file, int64_t line, const std::string& reason,
                  const std::string&) override {
    bad.push_back(std::to_string(line) + ": " + reason);
  }
  void Count(const std::string& what) override { counts.push_back(what); }

  std::vector<Interaction> interactions;
  std::vector<std::string> bad, counts;
};

}  // namespace moat::data
