// Rules over RE2: one pass finds which rules match at all, then those replace.
#include "data/redaction.h"

#include <re2/re2.h>
#include <re2/set.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <sstream>
#include <vector>

#include "core/error.h"

namespace moat::data {
namespace {

constexpr int kGroups = 10;  // \0 to \9

RE2::Options Options() {
  RE2::Options options(RE2::Latin1);
  options.set_log_errors(false);
  return options;
}

struct Rule {
  std::string name;
  std::string replacement;
  std::unique_ptr<RE2> pattern;
};

// "\_" is a space, which a field of a rules file cannot hold.
std::string WithSpaces(std::string replacement) {
  for (size_t at = 0; (at = replacement.find("\\_", at)) != std::string::npos; ++at) {
    replacement.replace(at, 2, " ");
  }
  return replacement;
}

// The rule of a line; throws ConfigError with what is wrong.
Rule ParseRule(const std::string& line) {
  std::istringstream fields(line);
  Rule rule;
  std::string pattern;
  fields >> rule.name >> rule.replacement >> std::ws;
  std::getline(fields, pattern);
  while (!pattern.empty() && pattern.back() == '\r') pattern.pop_back();
  if (pattern.empty()) {
    throw core::ConfigError("expected a name, a replacement and a pattern, found \"" + line + "\"");
  }
  rule.replacement = WithSpaces(rule.replacement);
  rule.pattern = std::make_unique<RE2>(pattern, Options());
  std::string problem = rule.pattern->error();
  if (rule.pattern->ok() && rule.pattern->CheckRewriteString(rule.replacement, &problem) &&
      RE2::FullMatch("", *rule.pattern)) {
    problem = "it matches nothing at all, everywhere";
  }
  if (!problem.empty()) {
    throw core::ConfigError("rule " + rule.name + " with pattern " + pattern + ": " + problem);
  }
  return rule;
}

}  // namespace

struct Redactor::State {
  State() : any(Options(), RE2::UNANCHORED) {}

  std::vector<size_t> Matching(const std::string& text) const;
  void Replace(const Rule& rule, std::string* text, const OnRedacted& on_redacted);

  std::vector<Rule> rules;
  RE2::Set any;  // of all patterns
  std::map<std::string, int64_t> counts;
};

// The first rule that the text as it is matches, and all after it: what one writes, a later one may
// match.
std::vector<size_t> Redactor::State::Matching(const std::string& text) const {
  std::vector<int> found;
  RE2::Set::ErrorInfo error{};
  if (!any.Match(text, &found, &error) && error.kind == RE2::Set::kNoError) return {};
  const size_t first =
      found.empty() ? 0 : static_cast<size_t>(*std::min_element(found.begin(), found.end()));
  std::vector<size_t> result;
  for (size_t i = first; i < rules.size(); ++i) result.push_back(i);
  return result;
}

void Redactor::State::Replace(const Rule& rule, std::string* text, const OnRedacted& on_redacted) {
  std::array<re2::StringPiece, kGroups> groups;
  const int used = std::min(kGroups, 1 + rule.pattern->NumberOfCapturingGroups());
  std::string result;
  size_t at = 0;  // what lies before is in `result`
  while (rule.pattern->Match(*text, at, text->size(), RE2::UNANCHORED, groups.data(), used)) {
    const auto begin = static_cast<size_t>(groups[0].data() - text->data());
    if (groups[0].empty()) break;  // a rule that matches nothing somewhere has nothing to take out
    result.append(*text, at, begin - at);
    std::string replacement;
    rule.pattern->Rewrite(&replacement, rule.replacement, groups.data(), used);
    if (on_redacted) {
      const std::string_view whole = *text;
      on_redacted({rule.name, whole.substr(0, begin), whole.substr(begin, groups[0].size()),
                   replacement, whole.substr(begin + groups[0].size())});
    }
    result += replacement;
    at = begin + groups[0].size();
    ++counts[rule.name];
  }
  if (at == 0) return;
  result.append(*text, at);
  *text = std::move(result);
}

Redactor::Redactor(std::unique_ptr<State> state) : state_(std::move(state)) {}
Redactor::Redactor(Redactor&&) noexcept = default;
Redactor::~Redactor() = default;

Redactor Redactor::Load(const std::filesystem::path& file) {
  std::ifstream stream(file);
  if (!stream) throw core::ConfigError("--redact=" + file.string() + ": there is no such file");
  auto state = std::make_unique<State>();
  std::string line;
  for (int64_t number = 1; std::getline(stream, line); ++number) {
    const size_t start = line.find_first_not_of(" \t\r");
    if (start == std::string::npos || line[start] == '#') continue;
    try {
      state->rules.push_back(ParseRule(line.substr(start)));
    } catch (const core::ConfigError& error) {
      throw core::ConfigError(file.string() + ":" + std::to_string(number) + ": " + error.what());
    }
    state->any.Add(state->rules.back().pattern->pattern(), nullptr);
  }
  if (state->rules.empty()) throw core::ConfigError(file.string() + ": expected rules, found none");
  if (!state->any.Compile()) {
    throw core::ConfigError(file.string() + ": the rules are too large together; split the file");
  }
  return Redactor(std::move(state));
}

void Redactor::Apply(std::string* text, const OnRedacted& on_redacted) {
  for (const size_t i : state_->Matching(*text)) {
    state_->Replace(state_->rules[i], text, on_redacted);
  }
}

const std::map<std::string, int64_t>& Redactor::counts() const { return state_->counts; }

}  // namespace moat::data
