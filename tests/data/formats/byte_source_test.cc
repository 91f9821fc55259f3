// Compressed inputs: told by their bytes, joined where they follow each other, refused where cut.
#include "data/formats/byte_source.h"

#include <gtest/gtest.h>

#include "data/formats/text_stream.h"
#include "tests/data/fixture.h"
#include "tests/data/formats/compressed.h"

namespace moat::data::formats {
namespace {

struct Kind {
  const char* name;
  std::string (*compress)(const std::string&);
};

class CompressedTest : public ::testing::TestWithParam<Kind> {
 protected:
  // In small pieces, so that every seam inside the decompressor is met.
  std::string Read(const std::string& bytes, size_t piece) {
    WriteText(directory_ / "any.name", bytes);
    const auto source = OpenBytes((directory_ / "any.name").string());
    std::string text, buffer(piece, '\0');
    while (const size_t got = source->Read(buffer.data(), buffer.size())) {
      text.append(buffer, 0, got);
    }
    return text;
  }
  std::string ErrorOfReading(const std::string& bytes) {
    return ErrorOf(core::ExitCode::kData, [&] { Read(bytes, 4096); });
  }
  static std::string Compress(const std::string& text) { return GetParam().compress(text); }

  testing::TemporaryDirectory directory_;
};

TEST_P(CompressedTest, GivesTheTextBack) {
  const std::string text = CoffeeLines(2000);
  EXPECT_EQ(Read(Compress(text), 1), text);
  EXPECT_EQ(Read(Compress(text), 1 << 20), text);
  EXPECT_EQ(Read(Compress(""), 10), "");
}

TEST_P(CompressedTest, MembersOneAfterTheOtherAreOneText) {
  const std::string first = CoffeeLines(300), second = CoffeeLines(7);
  EXPECT_EQ(Read(Compress(first) + Compress("") + Compress(second), 1000), first + second);
}

TEST_P(CompressedTest, ACutFileIsAnErrorThatNamesThePlace) {
  const std::string whole = Compress(CoffeeLines(2000));
  for (const size_t size : {size_t{7}, whole.size() / 2, whole.size() - 1}) {
    const std::string error = ErrorOfReading(whole.substr(0, size));
    EXPECT_TRUE(Contains(error, "any.name: the " + std::string(GetParam().name) + " data ends too"))
        << error;
    EXPECT_TRUE(Contains(error, "at byte " + std::to_string(size) + " ")) << error;
  }
}

TEST_P(CompressedTest, DamageAndWhatFollowsAreErrors) {
  const std::string whole = Compress(CoffeeLines(2000));
  std::string damaged = whole;
  damaged[whole.size() / 2] = static_cast<char>(damaged[whole.size() / 2] ^ 0x55);
  damaged[whole.size() / 2 + 1] = static_cast<char>(damaged[whole.size() / 2 + 1] ^ 0x55);
  EXPECT_TRUE(Contains(ErrorOfReading(damaged), "any.name: the"));
  EXPECT_TRUE(Contains(ErrorOfReading(whole + "{\"messages\": []}\n"), "is corrupt"));
}

INSTANTIATE_TEST_SUITE_P(All, CompressedTest,
                         ::testing::Values(Kind{"gzip", Gzipped}, Kind{"zstd", Zstandard},
                                           Kind{"xz", Xzipped}),
                         [](const auto& info) { return info.param.name; });

TEST(ByteSource, PlainTextIsItself) {
  const testing::TemporaryDirectory directory;
  for (const std::string text : {"", "x", "\x1f", "{\"a\": 1}\n"}) {
    WriteText(directory / "f.gz", text);
    const auto source = OpenBytes((directory / "f.gz").string());
    std::string read;
    char byte = 0;
    while (source->Read(&byte, 1) > 0) read += byte;
    EXPECT_EQ(read, text);
  }
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { OpenBytes("no/such/file"); }),
                       "cannot open no/such/file"));
}

TEST(TextStream, LinesMayBeOfAnyLengthAndEnd) {
  const testing::TemporaryDirectory directory;
  const std::string longer(700'000, 'x');
  WriteText(directory / "f", "\xef\xbb\xbfone\r\n\n" + longer + "\nlast");
  TextStream stream(OpenBytes((directory / "f").string()));
  std::vector<std::string> lines;
  std::string line;
  bool too_long = false;
  while (stream.ReadLine(&line, &too_long)) lines.push_back(line);
  EXPECT_EQ(lines, (std::vector<std::string>{"one", "", longer, "last"}));
  EXPECT_FALSE(too_long);
}

TEST(TextStream, ALineAboveTheLimitIsCutAndTheNextOneIsWhole) {
  const testing::TemporaryDirectory directory;
  WriteText(directory / "f", std::string(kMaxRecordBytes + 5, 'x') + "\nnext\n");
  TextStream stream(OpenBytes((directory / "f").string()));
  std::string line;
  bool too_long = false;
  ASSERT_TRUE(stream.ReadLine(&line, &too_long));
  EXPECT_TRUE(too_long);
  EXPECT_EQ(line.size(), kMaxRecordBytes);
  ASSERT_TRUE(stream.ReadLine(&line, &too_long));
  EXPECT_FALSE(too_long);
  EXPECT_EQ(line, "next");
}

}  // namespace
}  // namespace moat::data::formats
