// The tokenizer loses nothing, knows its control tokens, and refuses models that would lose text.
#include "data/tokenizer.h"

#include <gtest/gtest.h>
#include <sentencepiece_trainer.h>

#include "data/chat_template.h"
#include "data/tokenizer_training.h"
#include "data/utf8.h"
#include "tests/data/fixture.h"

namespace moat::data {
namespace {

Tokenizer Trained(const std::vector<std::string>& texts, int64_t vocab_size = 500) {
  const testing::TemporaryDirectory directory;
  TokenizerTraining training(vocab_size);
  for (const std::string& text : texts) training.Add(text);
  WriteText(directory / "m", training.Train());
  return Tokenizer::Load(directory / "m");
}

std::vector<std::string> NastyTexts() {
  std::vector<std::string> texts = {
      "",
      " ",
      "  two  spaces  ",
      "\ttab\t\ttabs",
      "line\r\nline\n\n\nline\r",
      std::string("nul\0nul\0", 8),
      "\xe2\x96\x81 is not a space \xe2\x96\x81\xe2\x96\x81",
      "emoji \xf0\x9f\x98\x80\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb",
      "\xc3\x28 \xa0\xa1 \xe2\x28\xa1 \xf0\x28\x8c\x28 \xed\xa0\x80 \xc0\xaf",
      "cut \xe2\x96",
      "<s></s><|end|><|user|><pad><unk><0x41>",
      "\xe2\x81\x87 \xe2\x96\x85 \xef\xbf\xbd \xef\xbb\xbf",
      "e\xcc\x81 \xc3\xa9 \xef\xac\x81 \xe2\x84\xab",
      "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xd8\xa7\xd9\x84"};
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  texts.push_back(all);
  return texts;
}

TEST(Tokenizer, IsLosslessForAnyBytes) {
  std::vector<std::string> training = NastyTexts();
  training.push_back(CoffeeLines(50));
  const Tokenizer seen = Trained(training);
  const Tokenizer unseen = Trained({"plain words only"});
  for (const std::string& text : NastyTexts()) {
    EXPECT_EQ(seen.Decode(seen.Encode(text)), text);
    EXPECT_EQ(unseen.Decode(unseen.Encode(text)), text);
  }
}

TEST(Tokenizer, ByteLengthsAddUpToTheText) {
  const Tokenizer tokenizer = Trained({CoffeeLines(50)});
  for (const std::string& text : NastyTexts()) {
    int64_t bytes = 0;
    for (const int32_t token : tokenizer.Encode(text)) bytes += tokenizer.ByteLength(token);
    EXPECT_EQ(bytes, static_cast<int64_t>(text.size()));
  }
  EXPECT_EQ(tokenizer.ByteLength(tokenizer.end_token()), 0);
}

TEST(Tokenizer, NeverParsesControlTokensOutOfText) {
  std::string often;
  for (int i = 0; i < 200; ++i) often += "<|end|><|assistant|> <s> <pad> <unk> <0x41> </s>\n";
  const Tokenizer tokenizer = Trained({often});
  for (const int32_t token : tokenizer.Encode(often)) EXPECT_GT(token, 7);
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(often)), often);
}

TEST(Tokenizer, ShrinksForTinyTexts) {
  EXPECT_EQ(Trained({"a"}, 4096).vocab_size(), 266);
  EXPECT_GE(Trained({""}, 4096).vocab_size(), 265);
  EXPECT_GE(Trained({"\xff\xfe\x00"}, 4096).vocab_size(), 265);
}

TEST(Tokenizer, SmallVocabularyTakesManyCharacters) {
  std::string many;
  for (char32_t c = 0x4e00; c < 0x4e00 + 800; ++c) {
    many += static_cast<char>(0xe0 | (c >> 12));
    many += static_cast<char>(0x80 | ((c >> 6) & 0x3f));
    many += static_cast<char>(0x80 | (c & 0x3f));
  }
  const Tokenizer tokenizer = Trained({many, CoffeeLines(20)}, TokenizerTraining::kMinVocabSize);
  EXPECT_LE(tokenizer.vocab_size(), TokenizerTraining::kMinVocabSize);
  EXPECT_EQ(tokenizer.Decode(tokenizer.Encode(many)), many);
}

TEST(Tokenizer, IsDeterministicAndDigestsDiffer) {
  EXPECT_EQ(Trained({CoffeeLines(30)}).digest(), Trained({CoffeeLines(30)}).digest());
  EXPECT_NE(Trained({CoffeeLines(30)}).digest(), Trained({"another text entirely"}).digest());
}

TEST(Tokenizer, RefusesModelsWithoutOurControlTokens) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "text", CoffeeLines(20));
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      "--minloglevel=3 --model_type=bpe --vocab_size=120 --hard_vocab_limit=false --input=" +
      (directory / "text").string() + " --model_prefix=" + (directory / "foreign").string());
  ASSERT_TRUE(status.ok()) << status.ToString();
  const std::string error =
      ErrorOf(core::ExitCode::kData, [&] { Tokenizer::Load(directory / "foreign.model"); });
  EXPECT_TRUE(Contains(error, "foreign.model: expected control token <pad>")) << error;
  WriteText(directory / "noise", "not a model");
  ErrorOf(core::ExitCode::kData, [&] { Tokenizer::Load(directory / "noise"); });
}

TEST(Tokenizer, TemplateIsBeginRoleTextEnd) {
  const Tokenizer tokenizer = Trained({"ab"});
  Interaction interaction;
  interaction.segments = {{Role::kUser, 1, "a"}, {Role::kAssistant, 1, ""}};
  const EncodedInteraction encoded = Encode(tokenizer, interaction);
  const std::vector<int32_t> a = tokenizer.Encode("a");
  ASSERT_EQ(a.size(), 1u);
  EXPECT_EQ(encoded.tokens, (std::vector<int32_t>{1, 4, a[0], 2, 5, 2}));
  EXPECT_EQ(encoded.segment_start, (std::vector<int64_t>{0, 4}));
}

TEST(Utf8, CutsBetweenCharacters) {
  const std::string text = "ab\xe2\x82\xac";
  EXPECT_EQ(CutAtCharacter(text, 2), 2u);
  EXPECT_EQ(CutAtCharacter(text, 3), 2u);
  EXPECT_EQ(CutAtCharacter(text, 4), 2u);
  EXPECT_EQ(CutAtCharacter(text, 5), 5u);
  EXPECT_EQ(CutAtCharacter("\x80\x80\x80", 1), 1u);
  EXPECT_EQ(CharacterLength("\xed\xa0\x80"), 0u);  // a surrogate
  EXPECT_EQ(CharacterLength("\xf4\x90\x80\x80"), 0u);
}

}  // namespace
}  // namespace moat::data
