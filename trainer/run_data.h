// What a run reads: which slots of its data set count, and the tokenizer they were made with.
#pragma once

#include "configs/train_config.h"
#include "data/dataset.h"
#include "data/sample_stream.h"
#include "data/tokenizer.h"

namespace moat::trainer {

// Sequence length, seed and the roles that carry loss.
data::StreamOptions StreamOptionsOf(const configs::TrainConfig& config);

// The data set's tokenizer; throws DataError when it is not the one its shards were written with.
data::Tokenizer CheckedTokenizer(const data::Dataset& dataset);

}  // namespace moat::trainer
