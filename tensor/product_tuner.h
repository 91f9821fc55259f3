// ProductTuner: how a stream chooses the algorithms of its matrix products.
// model/product_agreement.h makes all ranks choose alike.
#pragma once

#include <string>

#include "tensor/product_choices.h"
#include "tensor/stream.h"

namespace moat::tensor {

class ProductTuner {
 public:
  virtual ~ProductTuner() = default;

  // Library and device, for ProductChoices::made_for.
  virtual std::string library() = 0;
  // From now on a product that the stream has not computed yet is measured with its operands at
  // hand, by every algorithm that the library proposes and that gives the same bits each time, and
  // keeps the fastest. It is then computed many times: what is added to becomes garbage. false (at
  // first): a product takes what was chosen for it, else the library's first proposal.
  virtual void Measure(bool on) = 0;
  // Of the products computed since the stream was made, or since Use().
  virtual ProductChoices choices() = 0;
  // From now on these count; what was chosen before is forgotten. Throws ConfigError, now or at a
  // product's first use, when they were made for something else.
  virtual void Use(const ProductChoices& choices) = 0;
};

// Null where the device has nothing to choose: the CPU.
inline ProductTuner* TunerOf(Stream& stream) {
  return stream.queue() == nullptr ? nullptr : stream.queue()->product_tuner();
}

}  // namespace moat::tensor
