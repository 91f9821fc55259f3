// Redaction: rules that take e-mail addresses, keys and the like out of texts.
//
// A rules file has one rule a line: name, replacement, RE2 pattern (the rest of the line),
// separated by spaces or tabs. Lines that start with # and blank ones are skipped. In a replacement
// \0 to \9 are the match and its groups, \_ is a space. Patterns match bytes (RE2's Latin-1 mode),
// so that any text is safe to search; matching takes time linear in the text.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace moat::data {

// One replacement, for those who look.
struct Redacted {
  std::string_view rule;
  std::string_view before;  // the text up to the match, as earlier rules left it
  std::string_view match;
  std::string_view replacement;
  std::string_view after;  // the text behind the match
};

class Redactor {
 public:
  // Throws ConfigError with file:line for what is not a rule, and when there is none.
  static Redactor Load(const std::filesystem::path& file);
  Redactor(Redactor&&) noexcept;
  ~Redactor();

  using OnRedacted = std::function<void(const Redacted&)>;

  // Applies every rule in order. `on_redacted`, if any, hears of each replacement.
  void Apply(std::string* text, const OnRedacted& on_redacted = {});

  // Replacements so far, by rule; rules that never matched are absent.
  const std::map<std::string, int64_t>& counts() const;

 private:
  struct State;
  explicit Redactor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace moat::data
