// Evaluation: the mean loss and the bits per byte of the validation split.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "comm/communicator.h"
#include "data/sample_stream.h"
#include "data/tokenizer.h"
#include "model/transformer.h"

namespace moat::trainer {

struct Evaluation {
  double loss = 0;  // sum(w * l) / sum(w), nats
  // Over the tokens with weight > 0, whatever their weights: nats / ln 2 / UTF-8 bytes of their
  // text. What data/baselines.h measures, too.
  double bits_per_byte = 0;
  double weight = 0;
  int64_t tokens = 0;    // with weight > 0
  int64_t bytes = 0;     // of their text
  bool complete = true;  // otherwise it was interrupted: nothing above is of use
};

// Of several splits as if they were one: sums of the parts', whatever the data sets weigh in
// training.
Evaluation Together(const std::vector<Evaluation>& parts);

class Evaluator {
 public:
  // `micro_batches` 0: the whole split, else its first so many micro-batches. The token lengths
  // come from the tokenizer.
  Evaluator(const data::SampleStream& validation, const data::Tokenizer& tokenizer,
            int64_t micro_batch, int64_t micro_batches);

  // Collective over `data`, and over the model's tensor group. Micro-batch i is taken by data rank
  // i mod dp; sums are gathered and added in order of i, so the result's bits do not depend on dp.
  // `interrupted`, where given, is asked before each micro-batch, on all ranks alike, and must give
  // all the same answer: yes ends the evaluation.
  Evaluation Run(model::Transformer& model, comm::Communicator& data,
                 const std::function<bool()>& interrupted = {}) const;

 private:
  const data::SampleStream& validation_;
  std::vector<int64_t> byte_length_;  // by token
  int64_t micro_batch_;
  int64_t micro_batches_;
};

}  // namespace moat::trainer
