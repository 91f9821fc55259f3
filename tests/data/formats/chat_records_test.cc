// Chat and ShareGPT records: fields, roles, content, tool calls, weights, and what is malformed.
#include <gtest/gtest.h>

#include "data/formats/record_fields.h"
#include "tests/data/formats/fixture.h"

namespace moat::data::formats {
namespace {

std::string UserSays(const std::string& content) {
  return R"({"messages": [{"role": "user", "content": )" + content + "}]}";
}

TEST(ChatRecords, FieldsAreTaken) {
  const Interaction record = ParseRecord(
      R"({"id": 7, "user": "ada", "time": "2026-03-01T12:00:00.5+01:00", "request": "r",
          "messages": [{"role": "user", "content": "hi", "name": "Ada"}]})",
      {}, "f:1")[0];
  EXPECT_EQ(record.id, "7");
  EXPECT_EQ(record.user, "ada");
  EXPECT_EQ(record.request, "r");
  EXPECT_EQ(record.time_micros, 1772362800500000);
  EXPECT_EQ(record.segments, (std::vector<Segment>{{Role::kUser, 1, "hi"}}));
  EXPECT_EQ(ParseRecord(UserSays("\"x\""), {}, "f:1")[0].id, "f:1");
}

TEST(ChatRecords, FieldsMayHaveOtherNamesAndLieDeeper) {
  configs::RecordConfig config;
  config.field_messages = "turns";
  config.field_user = "meta.user";
  config.field_time = "meta.when.unix";
  config.field_id = "a.b";  // a field of that very name comes first
  const Interaction record = ParseRecord(
      R"({"turns": [{"role": "user", "content": "hi"}], "user": "not this one", "a.b": "x",
          "a": {"b": "y"}, "meta": {"user": "ada", "when": {"unix": 1.5}}})",
      config, "f:1")[0];
  EXPECT_EQ(record.user, "ada");
  EXPECT_EQ(record.id, "x");
  EXPECT_EQ(record.time_micros, 1'500'000);
}

TEST(ChatRecords, WeightsFallWhereTheyShould) {
  const std::string messages = R"("messages": [{"role": "assistant", "content": "a"},
    {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"},
    {"role": "tool", "content": "d"}])";
  EXPECT_EQ(ShortOf("{" + messages + "}"), "assistant: a | user: b | assistant: c | tool: d");
  EXPECT_EQ(ShortOf("{" + messages + R"(, "weight": 0.5})"),
            "assistant*0: a | user: b | assistant*0.5: c | tool: d");
  EXPECT_EQ(ShortOf("{" + messages + R"(, "weight": 0})"),
            "assistant*0: a | user: b | assistant*0: c | tool: d");
  const std::string own = R"({"weight": 3, "messages": [
    {"role": "assistant", "content": "a", "weight": 2}, {"role": "assistant", "content": "b"}]})";
  EXPECT_EQ(ShortOf(own), "assistant*2: a | assistant*3: b");
  configs::RecordConfig all;
  all.weight_on = "all";
  EXPECT_EQ(ShortOf("{" + messages + R"(, "weight": 0.5})", all),
            "assistant*0.5: a | user: b | assistant*0.5: c | tool: d");
  EXPECT_EQ(ShortOf(own, all), "assistant*2: a | assistant*3: b");
}

TEST(ChatRecords, OutcomesAreWeightsByTheirLabels) {
  configs::RecordConfig config;
  config.outcomes = {{"accepted", 1}, {"edited", 0.5}, {"2", 2}, {"true", 3}};
  const auto with = [&](const std::string& outcome) {
    return R"({"messages": [{"role": "assistant", "content": "a"}], "outcome": )" + outcome + "}";
  };
  EXPECT_EQ(ShortOf(with(R"("edited")"), config), "assistant*0.5: a");
  EXPECT_EQ(ShortOf(with("2"), config), "assistant*2: a");
  EXPECT_EQ(ShortOf(with("true"), config), "assistant*3: a");
  EXPECT_EQ(ShortOf(with("null"), config), "assistant: a");
  EXPECT_EQ(ReasonOf(with(R"("lost")"), config),
            "outcome \"lost\" has no weight in --outcomes, which knows 2, accepted, edited, true");
  EXPECT_TRUE(Contains(ReasonOf(with("[1]"), config), "is not a label"));
  EXPECT_TRUE(Contains(ReasonOf(with(R"("edited", "weight": 1)"), config), "which one counts?"));
  EXPECT_EQ(ShortOf(with(R"("lost")")), "assistant: a");  // without --outcomes nobody looks
}

TEST(ChatRecords, RolesOfOthersAreMapped) {
  EXPECT_EQ(ShortOf(R"({"system": "s", "messages": [{"role": "developer", "content": "d"},
    {"role": "function", "name": "f", "content": "r"}, {"role": "text", "content": "t"}]})"),
            "system: s | system: d | tool: r | text: t");
}

TEST(ChatRecords, ContentMayBeAListOfTexts) {
  EXPECT_EQ(ShortOf(UserSays(R"([{"type": "text", "text": "a "}, {"text": "b", "type": "text"}])")),
            "user: a b");
  EXPECT_EQ(ReasonOf(UserSays(R"([{"type": "text", "text": "a"},
                                  {"type": "image_url", "image_url": {"url": "x"}}])")),
            "message 1: part 2 of content is of type \"image_url\": only text can be read");
  EXPECT_TRUE(Contains(ReasonOf(UserSays(R"([{"type": "text"}])")), "message 1: no text"));
  EXPECT_TRUE(Contains(ReasonOf(UserSays(R"(["x"])")), "part 1 of content is not an object"));
  EXPECT_TRUE(Contains(ReasonOf(UserSays(R"([{"text": "x"}])")), "part 1 of content has no type"));
}

TEST(ChatRecords, ToolCallsAreLinesOfCompactJson) {
  const std::string record = R"({"messages": [
    {"role": "assistant", "content": null, "tool_calls": [
      {"id": "1", "type": "function",
       "function": {"name": "find", "arguments": "{ \"z\": 1.0, \"a\": \"x \\\" y\" }"}},
      {"id": "2", "function": {"name": "pay \"now\"", "arguments": {"sum": 2}}}]},
    {"role": "tool", "tool_call_id": "1", "content": "ok"},
    {"role": "assistant", "content": "so", "function_call": {"name": "end", "arguments": "no {"}},
    {"role": "assistant", "tool_calls": [{"function": {"name": "bare"}}]}]})";
  EXPECT_EQ(ShortOf(record),
            "assistant: {\"call\":\"find\",\"arguments\":{\"z\":1.0,\"a\":\"x \\\" y\"}}\n"
            "{\"call\":\"pay \\\"now\\\"\",\"arguments\":{\"sum\":2}} | tool: ok | "
            "assistant: so\n{\"call\":\"end\",\"arguments\":\"no {\"} | "
            "assistant: {\"call\":\"bare\",\"arguments\":{}}");
  const auto calls = [](const std::string& role, const std::string& list) {
    return ReasonOf(R"({"messages": [{"role": ")" + role + R"(", "tool_calls": )" + list + "}]}");
  };
  EXPECT_TRUE(Contains(calls("user", R"([{"function": {"name": "x"}}])"), "of role user"));
  EXPECT_TRUE(Contains(calls("assistant", R"([{"id": 1}])"), "not an object with a function"));
  EXPECT_TRUE(Contains(calls("assistant", R"([{"function": {}}])"), "no name"));
  EXPECT_TRUE(Contains(calls("assistant", R"({"function": {}})"), "tool_calls is not a list"));
  EXPECT_TRUE(Contains(calls("assistant", "[]"), "no content"));
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  EXPECT_TRUE(
      Contains(calls("assistant", R"([{"function": {"name": "x", "arguments": )" + deep + "}}]"),
               "nested deeper"));
}

TEST(ChatRecords, MalformedOnesSayWhy) {
  configs::RecordConfig chat;
  chat.format = "chat";
  EXPECT_TRUE(Contains(ReasonOf("{"), "not JSON"));
  EXPECT_TRUE(Contains(ReasonOf("[]"), "not a JSON object"));
  EXPECT_TRUE(Contains(ReasonOf("[]", chat), "not a JSON object"));
  EXPECT_TRUE(Contains(ReasonOf("{}", chat), "no messages"));
  EXPECT_TRUE(Contains(ReasonOf("{}"), "no known shape: expected messages, conversations"));
  EXPECT_TRUE(Contains(ReasonOf(R"({"messages": []})"), "messages is empty"));
  EXPECT_TRUE(Contains(ReasonOf(R"({"messages": {}})"), "messages is not a list"));
  EXPECT_TRUE(Contains(ReasonOf(R"({"messages": ["x"]})"), "message 1: not an object"));
  EXPECT_TRUE(Contains(ReasonOf(R"({"messages": [{"content": "x"}]})"), "message 1: no role"));
  EXPECT_TRUE(Contains(ReasonOf(R"({"messages": [{"role": "bot", "content": "x"}]})"),
                       "unknown role \"bot\""));
  EXPECT_TRUE(Contains(ReasonOf(UserSays("7")), "message 1: content is neither a string nor"));
  EXPECT_TRUE(Contains(ReasonOf(UserSays("null")), "message 1: no content"));
  EXPECT_TRUE(Contains(ReasonOf(UserSays("\"\"")), "every message is empty"));
  EXPECT_TRUE(Contains(ReasonOf(UserSays("\"x\", \"name\": 1")), "name is not a string"));
  for (const char* weight : {"-1", "\"1\"", "1e39", "1e999", "NaN", "true"}) {
    ReasonOf(R"({"messages": [{"role": "assistant", "content": "x"}], "weight": )" +
             std::string(weight) + "}");
    ReasonOf(R"({"messages": [{"role": "assistant", "content": "x", "weight": )" +
             std::string(weight) + "}]}");
  }
  EXPECT_TRUE(Contains(ReasonOf(R"({"messages": [{"role": "user", "content": "x"}], "weight": 1})"),
                       "weight"));
  for (const char* time :
       {"\"soon\"", "\"2026-03-01x\"", "\"2026-03-01\\u0000x\"", "1e300", "[]"}) {
    EXPECT_TRUE(Contains(ReasonOf(R"({"messages": [{"role": "user", "content": "x"}], "time": )" +
                                  std::string(time) + "}"),
                         "time"));
  }
  ReasonOf("{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}");
  ReasonOf(UserSays(R"("\ud800")"));
  ReasonOf(std::string(100000, '['));
}

TEST(ChatRecords, KeysComeInAnyOrder) {
  EXPECT_EQ(ShortOf(R"({"weight": 0.5, "messages": [{"content": "a", "role": "assistant"}]})"),
            ShortOf(R"({"messages": [{"role": "assistant", "content": "a"}], "weight": 0.5})"));
}

TEST(ShareGptRecords, RolesHaveTheirNames) {
  EXPECT_EQ(ShortOf(R"({"id": "x", "system": "be brief", "conversations": [
    {"from": "human", "value": "q"}, {"from": "function_call", "value": "{}"},
    {"from": "observation", "value": "o"}, {"from": "gpt", "value": "a", "weight": 2}]})"),
            "system: be brief | user: q | assistant: {} | tool: o | assistant*2: a");
  configs::RecordConfig config;
  config.field_messages = "turns";
  EXPECT_EQ(ShortOf(R"({"turns": [{"from": "system", "value": "s"}]})", config), "system: s");
  EXPECT_EQ(ShortOf(R"({"conversations": [{"role": "user", "content": "q"}]})"), "user: q");
}

TEST(ShareGptRecords, MalformedOnesSayWhy) {
  const auto reason = [](const std::string& messages) {
    return ReasonOf(R"({"conversations": )" + messages + "}");
  };
  EXPECT_TRUE(Contains(reason("[]"), "conversations is empty"));
  EXPECT_TRUE(Contains(reason("7"), "conversations is not a list"));
  EXPECT_TRUE(Contains(reason(R"([{"from": "dog", "value": "x"}])"), "unknown role \"dog\""));
  EXPECT_TRUE(Contains(reason(R"([{"from": "gpt"}])"), "message 1: no value"));
  EXPECT_TRUE(
      Contains(reason(R"([{"from": "gpt", "value": "a"}, {"value": "x"}])"), "message 2: no from"));
}

}  // namespace
}  // namespace moat::data::formats
