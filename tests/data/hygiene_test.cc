// Hygiene: what rules take out of texts, what filters leave out, and what a dry run says of it.
#include "data/hygiene.h"

#include "data/dry_run.h"
#include "data/import.h"
#include "data/redaction.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

namespace fs = std::filesystem;

const fs::path kRules = fs::path(MOAT_SOURCE_DIR) / "configs/redaction.rules";

std::string Redact(const std::string& text) {
  static Redactor* const redactor = new Redactor(Redactor::Load(kRules));
  std::string result = text;
  redactor->Apply(&result);
  return result;
}

Interaction Saying(const std::string& text) {
  Interaction interaction;
  interaction.segments = {{Role::kText, 1.0f, text}};
  return interaction;
}

std::string Repeated(const std::string& text, int times) {
  std::string result;
  for (int i = 0; i < times; ++i) result += text;
  return result;
}

TEST(RedactionRules, TakePeopleOutOfTexts) {
  EXPECT_EQ(Redact("mail ada.l+x@mail.example.co.uk, now"), "mail <email>, now");
  EXPECT_EQ(Redact("\"from\":\"a_b@example.org\""), "\"from\":\"<email>\"");
  EXPECT_EQ(Redact("call +49 30 1234567."), "call <phone>.");
  EXPECT_EQ(Redact("call +1 (415) 555-0100 or (415) 555-0100 or 415-555-0100"),
            "call <phone> or <phone> or <phone>");
}

TEST(RedactionRules, TakeKeysAndTokensOutOfTexts) {
  EXPECT_EQ(Redact("id AKIAABCDEFGHIJKLMNOP;"), "id <aws_key>;");
  EXPECT_EQ(Redact("use ghp_" + std::string(36, 'a') + "!"), "use <github_token>!");
  EXPECT_EQ(Redact("xoxb-1234567890-abc"), "<slack_token>");
  EXPECT_EQ(Redact("sk-abcdefghij0123456789xyz"), "<api_key>");
  EXPECT_EQ(Redact("eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl"), "<jwt>");
  EXPECT_EQ(Redact("Authorization: Bearer abcdef0123456789"), "Authorization: Bearer <token>");
  EXPECT_EQ(Redact(R"("api_key": "correct horse")"), R"("api_key": "correct horse")");
  EXPECT_EQ(Redact(R"("api_key": "correcthorse", 1)"), R"("api_key": "<secret>", 1)");
  EXPECT_EQ(Redact("PASSWORD=hunter22 next"), "PASSWORD=<secret> next");
  EXPECT_EQ(Redact("git clone https://ada:geheim@example.org/x"),
            "git clone https://<secret>@example.org/x");
  EXPECT_EQ(
      Redact("a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\nqQ==\n-----END RSA PRIVATE KEY-----\n"),
      "a\n<private_key>\n");
  EXPECT_EQ(Redact("-----BEGIN PRIVATE KEY-----\ncut off here"), "<private_key>");
}

TEST(RedactionRules, LeaveOrdinaryTextAlone) {
  for (const std::string text :
       {"order 28740 of 2026-03-01 12:00:00, item chai-latte-1928, 1712345678901",
        "for (const Token& token : tokens) token = next.token();", "version 1.2.3, 3 @ 4, a@b",
        "the secret: patience", "\xff\xfe broken \x80 bytes", "x + y = +12.5 (3) 2-1", ""}) {
    EXPECT_EQ(Redact(text), text);
  }
}

TEST(Redaction, RulesRunInOrderAndCountWhatTheyDid) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "rules", "# comment\n\nfirst b\\_b a+\r\nsecond <\\1> (b) b\n");
  Redactor redactor = Redactor::Load(directory / "rules");
  std::string text = "xaay, a";
  std::string seen;
  redactor.Apply(&text, [&](const Redacted& redacted) {
    seen += std::string(redacted.before) + "[" + std::string(redacted.match) + ">" +
            std::string(redacted.replacement) + "]" + std::string(redacted.after) + ";";
  });
  EXPECT_EQ(text, "x<b>y, <b>");
  EXPECT_EQ(seen, "x[aa>b b]y, a;xaay, [a>b b];x[b b><b>]y, b b;xb by, [b b><b>];");
  EXPECT_EQ(redactor.counts(), (std::map<std::string, int64_t>{{"first", 2}, {"second", 2}}));
}

TEST(Redaction, RefusesWhatIsNotARuleWithItsLine) {
  const testing::TemporaryDirectory directory;
  const auto error_of = [&](const std::string& rules) {
    WriteText(directory / "rules", rules);
    return ErrorOf(core::ExitCode::kConfig, [&] { Redactor::Load(directory / "rules"); });
  };
  EXPECT_TRUE(Contains(error_of("\nname replacement\n"), "rules:2: expected a name"));
  EXPECT_TRUE(Contains(error_of("name x (unclosed\n"), "rules:1: rule name"));
  EXPECT_TRUE(Contains(error_of("name \\1 nogroup\n"), "rule name"));
  EXPECT_TRUE(Contains(error_of("name x a*\n"), "matches nothing"));
  EXPECT_TRUE(Contains(error_of("# none\n"), "found none"));
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { Redactor::Load(directory / "no"); }),
                       "no such file"));
}

TEST(Repetition, IsTheShareOfWindowsSeenBefore) {
  EXPECT_EQ(RepetitionOf(Saying("short, short, short, short")), 0);
  EXPECT_GT(RepetitionOf(Saying(Repeated("la la la ", 100))), 0.95);
  // 240 windows of a text and the same again: its 217 windows recur; those across the seam do not.
  std::string text;
  for (int i = 0; text.size() < 240; ++i) text += std::to_string(i * i) + "|";
  text.resize(240);
  EXPECT_DOUBLE_EQ(RepetitionOf(Saying(text)), 0);
  EXPECT_DOUBLE_EQ(RepetitionOf(Saying(text + text)), 217.0 / 457.0);
  Interaction twice = Saying(text);
  twice.segments.push_back(twice.segments[0]);
  EXPECT_DOUBLE_EQ(RepetitionOf(twice), 0.5);
}

TEST(Hygiene, LeavesOutByLengthAfterRedactionAndByRepetition) {
  configs::HygieneConfig config;
  config.redact = kRules.string();
  config.min_text_bytes = 8;
  config.max_text_bytes = 2000;
  config.max_repetition = 0.8;
  Hygiene hygiene(config);
  const auto keeps = [&](const std::string& text) {
    Interaction interaction = Saying(text);
    return hygiene.Apply(&interaction);
  };
  EXPECT_TRUE(keeps("8 bytes."));
  EXPECT_FALSE(keeps("7 bytes"));
  EXPECT_FALSE(keeps("averylongname@example.org"));  // <email> has 7
  EXPECT_FALSE(keeps(std::string(2001, 'x')));
  EXPECT_FALSE(keeps(Repeated("again and ", 100)));
  EXPECT_EQ(hygiene.Counts(),
            (std::map<std::string, int64_t>{
                {"interactions shorter than --min_text_bytes", 2},
                {"interactions longer than --max_text_bytes", 1},
                {"interactions that repeat themselves more than --max_repetition", 1},
                {"redacted: email", 1}}));
}

TEST(Hygiene, IsPartOfAnImportAndOfItsIdentity) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "in.jsonl",
            CoffeeLines(20) + R"({"messages": [{"role": "user", "content": "hi"}]})" + "\n" +
                R"({"messages": [{"role": "user", "content": "I am ada@example.org, hello"}]})" +
                "\n");
  configs::ImportConfig config = ImportOf(directory / "in.jsonl", directory / "set");
  config.hygiene.redact = kRules.string();
  config.hygiene.min_text_bytes = 5;
  const ImportReport report = Import(config);
  EXPECT_EQ(report.records, 22);
  EXPECT_EQ(report.train.interactions + report.validation.interactions, 21);
  EXPECT_EQ(report.counts.at("redacted: email"), 1);
  EXPECT_EQ(report.counts.at("interactions shorter than --min_text_bytes"), 1);
  EXPECT_TRUE(Import(config).already_done);
  config.hygiene.min_text_bytes = 6;
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { Import(config); }), "exists"));
}

TEST(DryRun, ShowsWhatWouldChangeAndWritesNothing) {
  const testing::TemporaryDirectory directory;
  WriteText(
      directory / "in.jsonl",
      CoffeeLines(3) + "not json\n" +
          R"({"id": "d7", "messages": [{"role": "user", "content": "I am\nada@example.org."}]})");
  configs::ImportConfig config = ImportOf(directory / "in.jsonl", directory / "set");
  config.hygiene.redact = kRules.string();
  const DryRunReport report = DryRun(config);
  EXPECT_EQ(report.read, 4);
  EXPECT_EQ(report.kept, 4);
  EXPECT_EQ(report.quarantined, 1);
  const std::string text = ToText(report);
  EXPECT_TRUE(Contains(text, "email, in d7: ...I am [ada@example.org -> <email>]....")) << text;
  EXPECT_TRUE(Contains(text, "in.jsonl:4: not JSON")) << text;
  EXPECT_TRUE(Contains(ToJson(report), R"("match":"ada@example.org")"));
  EXPECT_EQ(std::distance(fs::directory_iterator(directory.path()), {}), 1);
}

}  // namespace
}  // namespace moat::data
