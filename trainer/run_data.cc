// What a run reads.
#include "trainer/run_data.h"

#include "core/error.h"

namespace moat::trainer {

data::StreamOptions StreamOptionsOf(const configs::TrainConfig& config) {
  data::StreamOptions options;
  options.seq_len = config.model.seq_len;
  options.seed = config.seed;
  const auto carries = [&](const char* role) {
    for (const std::string& listed : config.loss_roles) {
      if (listed == role || listed == "all") return true;
    }
    return false;
  };
  options.roles = {carries("system"), carries("user"), carries("assistant"), carries("tool"),
                   carries("text")};
  return options;
}

data::Tokenizer CheckedTokenizer(const data::Dataset& dataset) {
  data::Tokenizer tokenizer = data::Tokenizer::Load(dataset.tokenizer_path());
  if (tokenizer.digest() != dataset.tokenizer_digest() ||
      data::Tokenizer::template_digest() != dataset.template_digest()) {
    throw core::DataError(dataset.tokenizer_path().string() +
                          " is not the tokenizer (or the chat template) the shards were written "
                          "with; import the data again");
  }
  return tokenizer;
}

}  // namespace moat::trainer
