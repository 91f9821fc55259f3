// Files of records: lines, arrays, tables; one shape a file; compressed or not.
#include "data/formats/record_file.h"

#include <gtest/gtest.h>

#include "tests/data/formats/compressed.h"
#include "tests/data/formats/fixture.h"

namespace moat::data::formats {
namespace {

constexpr const char* kGood = R"({"messages": [{"role": "user", "content": "x"}]})";

using Strings = std::vector<std::string>;

TEST(RecordFile, LinesMayHaveMarksBlankLinesAndNoLastLineFeed) {
  const std::string line = kGood;
  const KeepingSink sink = Imported("a.jsonl", "\xef\xbb\xbf" + line + "\r\n\n  \nnoise\n" + line);
  EXPECT_EQ(sink.interactions.size(), 2u);
  EXPECT_EQ(sink.interactions[1].id, "a.jsonl:5");
  ASSERT_EQ(sink.bad.size(), 1u);
  EXPECT_TRUE(sink.bad[0].starts_with("4: not JSON")) << sink.bad[0];
}

TEST(RecordFile, CompressedOnesAreTheSame) {
  const std::string text = CoffeeLines(50) + "noise\n" + CoffeeLine(50);
  const KeepingSink plain = Imported("a.jsonl", text);
  ASSERT_EQ(plain.interactions.size(), 51u);
  for (const auto& [name, bytes] :
       std::vector<std::pair<std::string, std::string>>{{"a.jsonl.gz", Gzipped(text)},
                                                        {"a.jsonl.zst", Zstandard(text)},
                                                        {"a.jsonl.xz", Xzipped(text)},
                                                        {"a.jsonl", Gzipped(text)}}) {
    const KeepingSink sink = Imported(name, bytes);
    EXPECT_EQ(Shorts(sink.interactions), Shorts(plain.interactions)) << name;
    EXPECT_EQ(sink.bad, plain.bad) << name;
  }
}

TEST(RecordFile, AnArrayIsReadElementByElement) {
  const KeepingSink sink = Imported("a.json", R"(
 [ {"text": "a ] } \" ,"},
   {"text": "b"}
   , {"text": }, 7,
   {"text": "c", "meta": [{"x": [1]}]} ]
)");
  EXPECT_EQ(Shorts(sink.interactions), (Strings{"text: a ] } \" ,", "text: b", "text: c"}));
  EXPECT_EQ(sink.interactions[2].id, "a.json:5");
  ASSERT_EQ(sink.bad.size(), 2u);
  EXPECT_TRUE(sink.bad[0].starts_with("4: not JSON")) << sink.bad[0];
  EXPECT_TRUE(Contains(sink.bad[1], "4: ")) << sink.bad[1];
  EXPECT_TRUE(Imported("a.json", "[]").bad.empty());
  EXPECT_EQ(Imported("a.json", "\n" + std::string(kGood)).interactions.size(), 1u);
}

TEST(RecordFile, ACutArrayAndWhatFollowsOneAreMalformed) {
  for (const char* text :
       {"[{\"text\": \"a\"}, {\"text\": \"b", "[{\"text\": \"a\"},", "[{\"text\": \"a\"}"}) {
    const KeepingSink sink = Imported("a.json", text);
    EXPECT_LE(sink.interactions.size(), 1u);
    ASSERT_EQ(sink.bad.size(), 1u) << text;
    EXPECT_TRUE(Contains(sink.bad[0], "does not end: the file was cut")) << sink.bad[0];
  }
  for (const char* text : {"[{\"text\": \"a\"}] x", "[] x"}) {
    const KeepingSink sink = Imported("a.json", text);
    ASSERT_FALSE(sink.bad.empty()) << text;
    EXPECT_TRUE(Contains(sink.bad.back(), "behind the end of the JSON array"));
  }
  EXPECT_TRUE(Contains(Imported("a.jsonl", "[garbage\n").bad.at(0), "1: not JSON"));
}

TEST(RecordFile, WhatIsTooLongIsReadOver) {
  std::string text = "[{\"text\": \"";
  text.append(size_t{66} << 20, '\\');  // escaped ones: every second is taken by the one before
  text += "\"}, {\"text\": \"b\"}]";
  const KeepingSink sink = Imported("a.json", text);
  EXPECT_EQ(Shorts(sink.interactions), (Strings{"text: b"}));
  EXPECT_EQ(sink.bad, (Strings{"1: longer than 64 MiB"}));
}

TEST(RecordFile, AShapeIsThatOfTheFirstGoodRecord) {
  const std::string text = R"({"prompt": "q"})"
                           "\n"
                           R"({"messages": []})"
                           "\n"
                           R"({"text": "t"})"
                           "\n" +
                           std::string(kGood) +
                           "\n"
                           R"({"text": "u", "prompt": "q"})"
                           "\n"
                           R"({"x": 1})"
                           "\n";
  const KeepingSink sink = Imported("a.jsonl", text);
  EXPECT_EQ(Shorts(sink.interactions), (Strings{"text: t", "text: u"}));
  EXPECT_EQ(sink.bad.at(1), "2: messages is empty");
  EXPECT_EQ(sink.bad.at(2), "4: a chat record among text records: no text");
  EXPECT_EQ(sink.bad.at(3), "6: no text");
  configs::RecordConfig forced;
  forced.format = "chat";
  EXPECT_EQ(Imported("a.txt", text, forced).interactions.size(), 1u);
}

TEST(RecordFile, TablesHaveNamedColumns) {
  const KeepingSink sink = Imported("a.csv",
                                    "prompt,completion,id,weight,time,user\r\n"
                                    "\"a, \"\"b\"\"\nc\",d,1,0.5,1772362800,ada\r\n"
                                    "\r\n"
                                    "e,f,2,,2026-03-01,\n"
                                    "g,h,3,-1,,\n"
                                    "i,j,4,nan,,\n"
                                    "k,l,5,1,soon,\n"
                                    "m,n\n"
                                    "o,\"p\"q,7,1,,\n"
                                    "r,s\"t,8,1,,\n"
                                    "u,,9,1,,\n"
                                    "v,w,10,1,,,\n");
  EXPECT_EQ(Shorts(sink.interactions),
            (Strings{"user: a, \"b\"\nc | assistant*0.5: d", "user: e | assistant: f"}));
  EXPECT_EQ(sink.interactions[0].user, "ada");
  EXPECT_EQ(sink.interactions[0].time_micros, 1772362800000000);
  EXPECT_EQ(sink.bad, (Strings{
                          "6: weight is not a finite number of at least 0",
                          "7: weight is not a number",
                          "8: time \"soon\" is not ISO 8601, as 2026-03-01T12:00:00Z",
                          "9: expected the header's 6 fields, found 2",
                          "10: text behind a closing quote",
                          "11: a quote inside a plain field",
                          "12: no completion",
                          "13: expected the header's 6 fields, found more",
                      }));
}

TEST(RecordFile, TabsSeparateToo) {
  EXPECT_EQ(Shorts(Imported("a.tsv", "text\tlabel\na, b\tx\n\"c\td\"\ty").interactions),
            (Strings{"text: a, b", "text: c\td"}));
  configs::RecordConfig config;
  config.format = "csv";
  config.field_text = "body";
  EXPECT_EQ(Shorts(Imported("a.dat",
                            "\xef\xbb\xbf"
                            "body\n\"x\"\n",
                            config)
                       .interactions),
            (Strings{"text: x"}));
}

TEST(RecordFile, TablesMustHaveAHeaderThatNamesEveryColumnOnce) {
  const auto error = [](const std::string& text) {
    return ErrorOf(core::ExitCode::kData, [&] { Imported("a.csv", text); });
  };
  EXPECT_TRUE(Contains(error("\n\n"), "a.csv: expected a header"));
  EXPECT_TRUE(Contains(error("\na,b,a\n"), "a.csv:2: the header names the column \"a\" twice"));
  EXPECT_TRUE(Contains(error("a,,b\n"), "a column without a name"));
  EXPECT_TRUE(Contains(error(std::string(200'000, ',')), "more than 100000 columns"));
  EXPECT_TRUE(Contains(error("a,\"b\n"), "the header cannot be read: a quoted field"));
}

TEST(RecordFile, AnOpenQuoteSaysHowFarItWent) {
  const KeepingSink sink = Imported("a.csv", "text\nx\n\"y\nz\nz\n");
  EXPECT_EQ(sink.interactions.size(), 1u);
  EXPECT_EQ(sink.bad,
            (Strings{"3: a quoted field does not end before the end of the file, line 6"}));
}

TEST(RecordFile, LinesAreTexts) {
  configs::RecordConfig config;
  config.format = "lines";
  EXPECT_EQ(Shorts(Imported("a.txt", "one\n\n{\"two\"}\n", config).interactions),
            (Strings{"text: one", "text: {\"two\"}"}));
}

TEST(RecordFile, ACutCompressedFileEndsTheImport) {
  const std::string whole = Gzipped(CoffeeLines(500));
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kData,
                               [&] { Imported("a.jsonl.gz", whole.substr(0, whole.size() / 2)); }),
                       "a.jsonl.gz: the gzip data ends too early"));
}

}  // namespace
}  // namespace moat::data::formats
