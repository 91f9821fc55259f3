// What a run reads.
#include "trainer/run_data.h"

#include <filesystem>
#include <set>

#include "configs/loss_roles.h"
#include "core/error.h"

namespace moat::trainer {

data::StreamOptions StreamOptionsOf(const configs::TrainConfig& config) {
  data::StreamOptions options;
  options.packing.seq_len = config.model.seq_len;
  options.seed = config.seed;
  options.packing.mode =
      config.pack == "concat" ? data::PackMode::kConcat : data::PackMode::kSeparate;
  for (size_t role = 0; role < options.roles.size(); ++role) {
    options.roles[role] = static_cast<float>(
        configs::LossWeightOf(config.loss_roles, data::Name(static_cast<data::Role>(role))));
  }
  return options;
}

std::vector<std::string> NamesOf(const std::vector<data::Dataset>& datasets) {
  std::vector<std::string> names, paths;
  for (const data::Dataset& dataset : datasets) {
    paths.push_back(dataset.directory().string());
    names.push_back(std::filesystem::weakly_canonical(dataset.directory()).filename().string());
  }
  return std::set<std::string>(names.begin(), names.end()).size() == names.size() ? names : paths;
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
