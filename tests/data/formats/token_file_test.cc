// HDF5 files of tokens by others: documents, segments, and what such a file must not be.
#include "data/formats/token_file.h"

#include <gtest/gtest.h>

#include "data/hdf5_handle.h"
#include "data/import_plan.h"
#include "tests/data/formats/fixture.h"

namespace moat::data::formats {
namespace {

class TokenFileTest : public ::testing::Test {
 protected:
  TokenFileTest()
      : set_(30),
        tokenizer_(Tokenizer::Load(set_.path() / "tokenizer.model")),
        path_(set_.root() / "tokens.h5"),
        file_(H5Fcreate(path_.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose) {}

  template <typename T>
  void Write(const char* name, hid_t type, const std::vector<T>& values) {
    const hsize_t size = values.size();
    const Hid space(H5Screate_simple(1, &size, nullptr), H5Sclose);
    const Hid dataset(H5Dcreate2(file_, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                      H5Dclose);
    ASSERT_GE(H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), 0);
  }
  void WriteTokens(const std::vector<int32_t>& tokens) {
    Write("tokens", H5T_NATIVE_INT32, tokens);
  }
  void WriteOffsets(const std::vector<uint64_t>& offsets) {
    Write("offsets", H5T_NATIVE_UINT64, offsets);
  }

  KeepingSink Read() {
    file_.Reset();
    KeepingSink sink;
    ImportTokens(path_, tokenizer_, &sink);
    return sink;
  }
  std::string ErrorOfReading() {
    return ErrorOf(core::ExitCode::kData, [&] { Read(); });
  }

  CoffeeSet set_;
  Tokenizer tokenizer_;
  std::filesystem::path path_;
  Hid file_;
};

TEST_F(TokenFileTest, DocumentsBecomeTexts) {
  std::vector<int32_t> tokens = {tokenizer_.begin_token()};
  const std::vector<int32_t> first = tokenizer_.Encode("one mocha"),
                             second = tokenizer_.Encode("caf\xc3\xa9");
  tokens.insert(tokens.end(), first.begin(), first.end());
  tokens.push_back(tokenizer_.end_token());
  const uint64_t middle = tokens.size();
  tokens.insert(tokens.end(), second.begin(), second.end());
  WriteTokens(tokens);
  WriteOffsets({0, middle, tokens.size()});
  const KeepingSink sink = Read();
  EXPECT_EQ(Shorts(sink.interactions),
            (std::vector<std::string>{"text: one mocha", "text: caf\xc3\xa9"}));
  EXPECT_EQ(sink.interactions[1].id, "tokens.h5:2");
}

TEST_F(TokenFileTest, RolesAndWeightsMakeSegments) {
  const std::vector<int32_t> ask = tokenizer_.Encode("ask"), answer = tokenizer_.Encode("answer");
  std::vector<int32_t> tokens = ask;
  tokens.insert(tokens.end(), answer.begin(), answer.end());
  std::vector<uint8_t> roles(ask.size(), 1);
  roles.resize(tokens.size(), 2);
  std::vector<float> weights(ask.size(), 1.0f);
  weights.resize(tokens.size(), 0.5f);
  WriteTokens(tokens);
  Write("role", H5T_NATIVE_UINT8, roles);
  Write("weight", H5T_NATIVE_FLOAT, weights);
  EXPECT_EQ(Shorts(Read().interactions),
            (std::vector<std::string>{"user: ask | assistant*0.5: answer"}));
}

TEST_F(TokenFileTest, BadDocumentsAreQuarantinedByNumber) {
  std::vector<int32_t> good = tokenizer_.Encode("x");
  std::vector<int32_t> tokens = good;
  tokens.push_back(-1);      // document 2: no token
  tokens.push_back(100000);  // 3: beyond the vocabulary
  tokens.push_back(3);       // 4: a control token inside
  tokens.insert(tokens.end(), good.begin(), good.end());
  const uint64_t n = good.size();
  WriteTokens(tokens);
  WriteOffsets({0, n, n + 1, n + 2, n + 3, n + 3, n + 1, tokens.size(), tokens.size()});
  const KeepingSink sink = Read();
  EXPECT_EQ(sink.interactions.size(), 1u);
  ASSERT_EQ(sink.bad.size(), 7u);
  EXPECT_TRUE(Contains(sink.bad[0], "2: token -1 is outside")) << sink.bad[0];
  EXPECT_TRUE(Contains(sink.bad[1], "3: token 100000 is outside")) << sink.bad[1];
  EXPECT_TRUE(Contains(sink.bad[2], "4: the tokenizer does not give these")) << sink.bad[2];
  EXPECT_TRUE(Contains(sink.bad[3], "5: a document without tokens")) << sink.bad[3];
  EXPECT_TRUE(Contains(sink.bad[4], "expected rising ones")) << sink.bad[4];
  EXPECT_TRUE(Contains(sink.bad[5], "7: token 100000")) << sink.bad[5];
}

TEST_F(TokenFileTest, FilesOfAnotherMakeAreRefused) {
  WriteTokens({1, 2});
  WriteOffsets({0, 1});
  EXPECT_TRUE(Contains(ErrorOfReading(), "dataset offsets: expected the start of each document"));
}

TEST_F(TokenFileTest, TokensMustBeThere) { EXPECT_TRUE(Contains(ErrorOfReading(), "no dataset")); }

TEST_F(TokenFileTest, TokensMustBeIntegers) {
  Write("tokens", H5T_NATIVE_FLOAT, std::vector<float>{1, 2});
  EXPECT_TRUE(Contains(ErrorOfReading(), "dataset tokens: expected integers"));
}

TEST_F(TokenFileTest, TokensMustLieInOneDimension) {
  const hsize_t size[] = {2, 2};
  {
    const Hid space(H5Screate_simple(2, size, nullptr), H5Sclose);
    const Hid dataset(
        H5Dcreate2(file_, "tokens", H5T_NATIVE_INT32, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
        H5Dclose);
  }
  EXPECT_TRUE(Contains(ErrorOfReading(), "expected one dimension"));
}

TEST_F(TokenFileTest, EveryTokenHasARole) {
  WriteTokens({9, 10});
  Write("role", H5T_NATIVE_UINT8, std::vector<uint8_t>{1});
  EXPECT_TRUE(Contains(ErrorOfReading(), "expected one number per token, 2, found 1"));
}

TEST_F(TokenFileTest, DataInOtherFilesIsRefused) {
  H5Lcreate_external("other.h5", "/tokens", file_, "tokens", H5P_DEFAULT, H5P_DEFAULT);
  EXPECT_TRUE(Contains(ErrorOfReading(), "is a link; expected the data itself"));
}

TEST_F(TokenFileTest, ExternalStorageIsRefused) {
  const Hid layout(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_external(layout, "/etc/hostname", 0, 8);
  const hsize_t size = 2;
  {
    const Hid space(H5Screate_simple(1, &size, nullptr), H5Sclose);
    const Hid dataset(
        H5Dcreate2(file_, "tokens", H5T_NATIVE_INT32, space, H5P_DEFAULT, layout, H5P_DEFAULT),
        H5Dclose);
  }
  EXPECT_TRUE(Contains(ErrorOfReading(), "its data lies in other files"));
}

TEST_F(TokenFileTest, WhatIsNoHdf5IsRefused) {
  WriteText(path_, "text");
  EXPECT_TRUE(Contains(ErrorOfReading(), "tokens.h5: expected an HDF5 file"));
}

TEST_F(TokenFileTest, AnImportNeedsTheTokenizerThatMadeThem) {
  const std::vector<int32_t> tokens = tokenizer_.Encode("one flat white please");
  WriteTokens(tokens);
  file_.Reset();
  configs::ImportConfig config = ImportOf(path_, set_.root() / "out");
  EXPECT_TRUE(Contains(ErrorOf(core::ExitCode::kConfig, [&] { Import(config); }), "--tokenizer"));
  config.tokenizer = set_.path() / "tokenizer.model";
  const ImportReport report = Import(config);
  EXPECT_EQ(report.records, 1);
  // <s>, the role, the tokens as they were, <|end|>.
  EXPECT_EQ(report.train.tokens, static_cast<int64_t>(tokens.size()) + 3);
}

}  // namespace
}  // namespace moat::data::formats
