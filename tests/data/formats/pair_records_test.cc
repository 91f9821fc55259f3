// Prompts with completions, Alpaca, preferences, texts: the shapes without messages.
#include <gtest/gtest.h>

#include "data/formats/record_shapes.h"
#include "tests/data/formats/fixture.h"

namespace moat::data::formats {
namespace {

TEST(PromptRecords, APromptAndItsCompletion) {
  EXPECT_EQ(ShortOf(R"({"prompt": "q", "completion": "a", "system": "s", "weight": 0.5})"),
            "system: s | user: q | assistant*0.5: a");
  EXPECT_EQ(ShortOf(R"({"prompt": [{"role": "user", "content": "q"}],
                        "completion": [{"role": "assistant", "content": "a"}]})"),
            "user: q | assistant: a");
  configs::RecordConfig config;
  config.field_prompt = "question";
  config.field_completion = "answer.text";
  EXPECT_EQ(ShortOf(R"({"question": "q", "answer": {"text": "a"}})", config),
            "user: q | assistant: a");
}

TEST(PromptRecords, MalformedOnesSayWhy) {
  configs::RecordConfig config;
  config.format = "prompt";
  EXPECT_EQ(ReasonOf(R"({"completion": "a"})", config), "no prompt");
  EXPECT_EQ(ReasonOf(R"({"prompt": "q"})", config), "no completion");
  EXPECT_EQ(ReasonOf(R"({"prompt": 1, "completion": "a"})"), "prompt is not a string");
  EXPECT_EQ(ReasonOf(R"({"prompt": "q", "completion": ""})"), "completion is empty");
  EXPECT_EQ(ReasonOf(R"({"prompt": [], "completion": "a"})"), "prompt is empty");
  EXPECT_EQ(ReasonOf(R"({"prompt": "q", "completion": "a", "system": 1})"),
            "system is not a string");
  EXPECT_TRUE(Contains(ReasonOf(R"({"prompt": "q", "completion": "a", "id": 1.5})"),
                       "id is neither a string nor an integer"));
}

TEST(AlpacaRecords, InstructionAndInputAreTheUsers) {
  EXPECT_EQ(ShortOf(R"({"instruction": "Add.", "input": "1 2", "output": "3"})"),
            "user: Add.\n\n1 2 | assistant: 3");
  EXPECT_EQ(ShortOf(R"({"instruction": "Hi.", "input": "", "output": "Hello."})"),
            "user: Hi. | assistant: Hello.");
  EXPECT_EQ(ReasonOf(R"({"instruction": "Hi.", "input": 3, "output": "x"})"),
            "input is not a string");
  EXPECT_EQ(ReasonOf(R"({"instruction": "Hi.", "output": ""})"), "output is empty");
}

TEST(PreferenceRecords, AreTwoInteractionsOfOneRequest) {
  const auto pair = ParseRecord(R"({"id": "p", "user": "ada", "prompt": "q", "chosen": "good",
                                    "rejected": "bad"})",
                                {}, "f:1");
  EXPECT_EQ(Shorts(pair),
            (std::vector<std::string>{"user: q | assistant: good", "user: q | assistant*0: bad"}));
  EXPECT_EQ(pair[0].id, "p:chosen");
  EXPECT_EQ(pair[1].id, "p:rejected");
  EXPECT_EQ(pair[0].request, "p");
  EXPECT_EQ(pair[1].request, "p");
  EXPECT_EQ(pair[1].user, "ada");
  const auto weighed = ParseRecord(
      R"({"prompt": "q", "chosen": "c", "rejected": "r", "weight": 2, "request": "7"})", {}, "f:1");
  EXPECT_EQ(Shorts(weighed),
            (std::vector<std::string>{"user: q | assistant*2: c", "user: q | assistant*0: r"}));
  EXPECT_EQ(weighed[1].request, "7");
}

TEST(PreferenceRecords, AnswersMayBeMessagesOrWholeDialogs) {
  const std::string rest = R"("rejected": [{"role": "assistant", "content": "r"}]})";
  EXPECT_EQ(Shorts(ParseRecord(
                R"({"prompt": "q", "chosen": [{"role": "user", "content": "q"},
                    {"role": "assistant", "content": "c"}], )" +
                    rest,
                {}, "f:1")),
            (std::vector<std::string>{"user: q | assistant: c", "user: q | assistant*0: r"}));
  EXPECT_EQ(ReasonOf(R"({"chosen": "c", "rejected": "r"})"), "no prompt");
  EXPECT_EQ(ReasonOf(R"({"prompt": "q", "chosen": "c", "rejected": ""})"), "rejected is empty");
  EXPECT_TRUE(
      Contains(ReasonOf(R"({"prompt": "q", "chosen": [7], )" + rest), "message 1: not an object"));
}

TEST(TextRecords, AreOneText) {
  EXPECT_EQ(ShortOf(R"({"text": "t", "weight": 0.25})"), "text*0.25: t");
  configs::RecordConfig config;
  config.field_text = "body";
  EXPECT_EQ(ShortOf(R"({"body": "b", "text": 7})", config), "text: b");
  EXPECT_EQ(ReasonOf(R"({"text": ""})"), "text is empty");
  EXPECT_EQ(ReasonOf(R"({"text": ["t"]})"), "text is not a string");
}

// The documented order, and what is too little for a shape.
TEST(Shapes, AreToldByTheirFields) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"messages": []})", "chat"},
      {R"({"messages": 7, "prompt": "q", "completion": "a"})", "chat"},
      {R"({"messages": [{"from": "gpt"}]})", "sharegpt"},
      {R"({"conversations": [{"from": "gpt"}], "text": "t"})", "sharegpt"},
      {R"({"conversations": [{"role": "user"}]})", "chat"},
      {R"({"messages": null, "chosen": "c", "rejected": "r"})", "preference"},
      {R"({"prompt": "q", "completion": "a", "chosen": "c", "rejected": "r"})", "preference"},
      {R"({"prompt": "q", "chosen": "c", "completion": "a"})", "prompt"},
      {R"({"instruction": "i", "output": "o", "text": "t"})", "alpaca"},
      {R"({"instruction": "i", "text": "t"})", "text"},
      {R"({"prompt": "q", "text": "t"})", "text"},
      {R"({"prompt": "q"})", ""},
      {R"({"instruction": "i"})", ""},
      {R"({})", ""},
      {R"([])", ""},
  };
  for (const auto& [record, expected] : cases) {
    const auto shape = DetectShape(json::parse(record), {});
    EXPECT_EQ(shape ? Name(*shape) : "", std::string(expected)) << record;
  }
}

TEST(Shapes, EveryOneIsAFormat) {
  for (int i = 0; i < kShapes; ++i) {
    configs::ImportConfig config = ImportOf("in", "out");
    config.records.format = Name(static_cast<Shape>(i));
    EXPECT_NO_THROW(Validate(config)) << config.records.format;
    EXPECT_EQ(ShapeNamed(config.records.format), static_cast<Shape>(i));
  }
  EXPECT_FALSE(ShapeNamed("auto"));
}

}  // namespace
}  // namespace moat::data::formats
