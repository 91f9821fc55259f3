// What a run reads: which slots of its data sets count, and the tokenizer they were made with.
#pragma once

#include <string>
#include <vector>

#include "configs/train_config.h"
#include "data/dataset.h"
#include "data/sample_stream.h"
#include "data/tokenizer.h"

namespace moat::trainer {

// Packing, seed and what each role counts in the loss.
data::StreamOptions StreamOptionsOf(const configs::TrainConfig& config);

// What to call each: its directory's name where all of those differ, else the whole path.
std::vector<std::string> NamesOf(const std::vector<data::Dataset>& datasets);

// The data set's tokenizer; throws DataError when it is not the one its shards were written with.
data::Tokenizer CheckedTokenizer(const data::Dataset& dataset);

}  // namespace moat::trainer
