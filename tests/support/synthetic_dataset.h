// Data sets made of numbers, of any size, without text or tokenizer: for the stream's tests and
// benchmark.
#pragma once

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>

#include "core/rng.h"
#include "data/index.h"
#include "data/shard_writer.h"

namespace moat::testing {

struct SyntheticData {
  int64_t shards = 1;
  int64_t interactions = 1000;  // of each shard
  int64_t mean_tokens = 300;    // of an interaction; lengths run from 8 to twice the mean
  int64_t vocab_size = 4096;
  uint64_t seed = 1;
};

// A user's and an assistant's segment that follow the template, with random tokens inside.
inline void AddSynthetic(const SyntheticData& data, uint64_t number, data::ShardWriter* writer) {
  const uint64_t key = core::KeyFromName(data.seed, "synthetic");
  const auto spread = static_cast<uint64_t>(std::max<int64_t>(1, 2 * data.mean_tokens - 8));
  const auto length = static_cast<int64_t>(8 + core::RandomBits(key, number) % spread);
  const int64_t half = length / 2;
  data::EncodedInteraction encoded;
  encoded.segment_start = {0, half};
  uint64_t state = core::Mix64(key + number);
  for (int64_t t = 0; t < length; ++t) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    encoded.tokens.push_back(
        static_cast<int32_t>(8 + (state >> 33) % static_cast<uint64_t>(data.vocab_size - 8)));
  }
  encoded.tokens[0] = 1;                              // <s>
  encoded.tokens[1] = 4;                              // <|user|>
  encoded.tokens[static_cast<size_t>(half)] = 5;      // <|assistant|>
  encoded.tokens[static_cast<size_t>(half) - 1] = 2;  // <|end|>
  encoded.tokens.back() = 2;
  data::Interaction interaction;
  interaction.segments = {{data::Role::kUser, 1, ""}, {data::Role::kAssistant, 1, ""}};
  interaction.time_micros = static_cast<int64_t>(number);
  writer->Add(interaction, encoded, {number + 1, number % 1000, 0});
}

// Writes DIRECTORY with `data.shards` shards of training data and returns its index.
inline data::Index MakeSyntheticDataset(const std::filesystem::path& directory,
                                        const SyntheticData& data) {
  data::Index index;
  index.vocab_size = data.vocab_size;
  index.tokenizer_digest = std::string(64, '1');
  index.template_digest = std::string(64, '2');
  data::ShardWriter writer({index.vocab_size, index.tokenizer_digest, index.template_digest});
  for (int64_t shard = 0; shard < data.shards; ++shard) {
    for (int64_t i = 0; i < data.interactions; ++i) {
      AddSynthetic(data, static_cast<uint64_t>(shard * data.interactions + i), &writer);
    }
    const std::string number = std::to_string(100000 + shard).substr(1);
    index.shards.push_back(writer.Seal(directory, "shards/train-" + number + ".h5", "train"));
  }
  index.content_digest = data::DatasetDigest(index, std::ssize(index.shards));
  data::WriteIndex(directory, index);
  return index;
}

}  // namespace moat::testing
