// ProductChoices: which algorithm computes each matrix product, as a text that a run keeps.
//
// Bits of a product depend on its algorithm, so all ranks of a run, and all its resumes, are to use
// the same ones. An algorithm means something to one version of a library on one kind of device
// only: `made_for` names both. Pure.
#pragma once

#include <map>
#include <string>

namespace moat::tensor {

struct ProductChoices {
  std::string made_for;  // "" on a device that has nothing to choose; one line
  // By product (its extents, types, layout and ending): the algorithm, a word without spaces, or
  // kInParts. By attention's extents: whose it is.
  std::map<std::string, std::string> algorithms;

  bool operator==(const ProductChoices&) const = default;
};

// An ending is not taken in one pass with the product: apart they are faster, or there is no
// algorithm for both.
inline constexpr const char* kInParts = "parts";

// Text of these lines; the last one is the SHA-256 of those before it:
//   moat.products 1
//   for <made_for>
//   <algorithm> <product>      in the order of products
//   sha256 <digits>
std::string Format(const ProductChoices& choices);
// Throws DataError, which names `source`, for any other text.
ProductChoices ParseProductChoices(const std::string& text, const std::string& source);

// Equal for equal choices: what a run's identity keeps of them.
std::string DigestOf(const ProductChoices& choices);

}  // namespace moat::tensor
