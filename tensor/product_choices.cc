// The text of product choices.
#include "tensor/product_choices.h"

#include <sstream>

#include "core/digest.h"
#include "core/error.h"

namespace moat::tensor {
namespace {

constexpr const char* kFirstLine = "moat.products 1";
constexpr const char* kFor = "for ";
constexpr const char* kDigest = "sha256 ";

std::string Body(const ProductChoices& choices) {
  std::string text = kFirstLine;
  text += "\n";
  text += kFor + choices.made_for + "\n";
  for (const auto& [product, algorithm] : choices.algorithms) {
    text += algorithm;
    text += " " + product + "\n";
  }
  return text;
}

[[noreturn]] void Refuse(const std::string& source, const std::string& what) {
  throw core::DataError(source + ": not a run's choices of products: " + what +
                        "; remove it to have products tuned again");
}

}  // namespace

std::string DigestOf(const ProductChoices& choices) {
  return core::Hex(core::Sha256Of(Body(choices)));
}

std::string Format(const ProductChoices& choices) {
  return Body(choices) + kDigest + DigestOf(choices) + "\n";
}

ProductChoices ParseProductChoices(const std::string& text, const std::string& source) {
  ProductChoices choices;
  std::istringstream lines(text);
  std::string line;
  if (!std::getline(lines, line) || line != kFirstLine) {
    Refuse(source, std::string("the first line is not \"") + kFirstLine + "\"");
  }
  if (!std::getline(lines, line) || !line.starts_with(kFor)) {
    Refuse(source, "line 2 does not say what they were made for");
  }
  choices.made_for = line.substr(std::string(kFor).size());
  for (int number = 3; std::getline(lines, line); ++number) {
    const size_t space = line.find(' ');
    if (space == 0 || space == std::string::npos || space + 1 == line.size()) {
      Refuse(source, "line " + std::to_string(number) + " is not an algorithm and a product");
    }
    if (line.starts_with(kDigest)) break;
    choices.algorithms[line.substr(space + 1)] = line.substr(0, space);
  }
  if (Format(choices) != text) Refuse(source, "it was cut, or its digest is not that of its lines");
  return choices;
}

}  // namespace moat::tensor
