// The text of product choices: what is written is read, and nothing else is.
#include "tensor/product_choices.h"

#include <gtest/gtest.h>

#include "core/error.h"

namespace moat::tensor {
namespace {

ProductChoices Some() {
  return {"a library 13 on a device (sm_90)",
          {{"8 x 16 times 16 x 32^T in bf16 to bf16, bias", "00ff"},
           {"8 x 16 times 16 x 32 in bf16 to f32", kInParts}}};
}

TEST(ProductChoices, AreReadAsTheyWereWritten) {
  EXPECT_EQ(ParseProductChoices(Format(Some()), "a file"), Some());
  const ProductChoices none{"a library", {}};
  EXPECT_EQ(ParseProductChoices(Format(none), "a file"), none);
}

TEST(ProductChoices, EqualOnesHaveOneDigestAndOthersAnother) {
  ProductChoices other = Some();
  EXPECT_EQ(DigestOf(other), DigestOf(Some()));
  other.algorithms.begin()->second = "00fe";
  EXPECT_NE(DigestOf(other), DigestOf(Some()));
  other = Some();
  other.made_for += " ";
  EXPECT_NE(DigestOf(other), DigestOf(Some()));
}

TEST(ProductChoices, WhatWasCutOrChangedIsRefusedByName) {
  const std::string text = Format(Some());
  for (size_t size = 0; size < text.size(); ++size) {
    EXPECT_THROW(ParseProductChoices(text.substr(0, size), "a file"), core::DataError) << size;
  }
  for (size_t at = 0; at < text.size(); ++at) {
    std::string changed = text;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_THROW(ParseProductChoices(changed, "a file"), core::DataError) << at;
  }
  EXPECT_THROW(ParseProductChoices(text + "\n", "a file"), core::DataError);
  try {
    ParseProductChoices("{}", "runs/a/products.txt");
  } catch (const core::DataError& error) {
    EXPECT_NE(std::string(error.what()).find("runs/a/products.txt"), std::string::npos);
  }
}

}  // namespace
}  // namespace moat::tensor
