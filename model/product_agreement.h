// One choice of algorithms for all matrix products of a run: measured by rank 0, or read from what
// the run keeps, and the same on all ranks.
#pragma once

#include <functional>
#include <string>

#include "comm/communicator.h"
#include "model/transformer.h"
#include "tensor/product_tuner.h"

namespace moat::model {

struct ProductAgreement {
  bool applies = false;  // the device has something to choose; else the rest is empty
  std::string text;      // tensor::Format: to be kept with the run
  std::string digest;    // the same digest, the same algorithms: for the log
  bool changed = false;  // `text` is not what was saved
  std::string note;      // why they were not taken from what was saved; "" where they were
};

// Collective over `world`, host side. `saved`: what rank 0 found with the run, "" for nothing
// (other ranks' counts for nothing). `tune`: false takes the library's first proposals where
// nothing usable was saved. `passes` computes every product that training does; all ranks call it
// together, rank 0's are measured. Throws ConfigError on all ranks when their libraries or devices
// differ.
ProductAgreement AgreeOnProducts(tensor::ProductTuner* tuner, comm::Communicator& world,
                                 const std::string& saved, bool tune,
                                 const std::function<void()>& passes);

// The same for a model, on whose stream everything runs: before the first step, after its weights
// are there. Gradients are garbage afterwards. A smaller micro-batch's products are not tuned.
// Collective over `world`, whose ranks all hold such a model.
ProductAgreement AgreeOnProducts(Transformer& model, tensor::Stream& stream,
                                 comm::Communicator& world, const std::string& saved, bool tune);

}  // namespace moat::model
