// Generation from a run's checkpoint.
#include "programs/moat_model/generate.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "comm/self.h"
#include "configs/command_line.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "core/host.h"
#include "core/logging.h"
#include "data/dataset.h"
#include "data/tokenizer.h"
#include "model/generator.h"
#include "programs/moat_model/trained_run.h"
#include "trainer/device_choice.h"
#include "trainer/run_state.h"

namespace moat::programs {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::vector<int32_t> Segment(const data::Tokenizer& tokenizer, data::Role role,
                             const std::string& text, bool closed) {
  std::vector<int32_t> tokens = {tokenizer.role_token(role)};
  const auto body = tokenizer.Encode(text);
  tokens.insert(tokens.end(), body.begin(), body.end());
  if (closed) tokens.push_back(tokenizer.end_token());
  return tokens;
}

void Append(std::vector<int32_t>& to, const std::vector<int32_t>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

// The dialog in the file, closed, and the opening of the assistant's next message.
std::vector<int32_t> ChatPrompt(const data::Tokenizer& tokenizer, const fs::path& file) {
  if (!fs::is_regular_file(file)) {
    throw core::ConfigError("--chat=" + file.string() + ": there is no such file");
  }
  std::vector<int32_t> tokens = {tokenizer.begin_token()};
  try {
    const json record = json::parse(core::ReadWholeFile(file));
    for (const json& message : record.at("messages")) {
      Append(tokens, Segment(tokenizer, data::ParseRole(message.at("role").get<std::string>()),
                             message.at("content").get<std::string>(), true));
    }
  } catch (const std::exception& error) {
    throw core::DataError(
        file.string() +
        " is not a dialog: expected one JSON object as {\"messages\": [{\"role\": \"user\", "
        "\"content\": \"...\"}]}, found: " +
        error.what());
  }
  tokens.push_back(tokenizer.role_token(data::Role::kAssistant));
  return tokens;
}

std::vector<int32_t> TextPrompt(const data::Tokenizer& tokenizer, const std::string& text) {
  std::vector<int32_t> tokens = {tokenizer.begin_token()};
  Append(tokens, Segment(tokenizer, data::Role::kText, text, false));
  return tokens;
}

// The model sees seq_len slots: an older beginning is dropped, <s> and room for an answer are kept.
void FitPrompt(std::vector<int32_t>& tokens, int64_t seq_len, int64_t max_tokens) {
  const int64_t room = std::max<int64_t>(seq_len / 2, seq_len - max_tokens);
  const auto size = static_cast<int64_t>(tokens.size());
  if (size <= room) return;
  core::Log(core::Log::kWarning) << "the prompt has " << size << " tokens, the model sees "
                                 << seq_len << ": its first " << size - room << " are left out";
  tokens.erase(tokens.begin() + 1, tokens.begin() + 1 + (size - room));
}

std::vector<int32_t> Continue(model::Generator& generator, const std::vector<int32_t>& prompt,
                              const data::Tokenizer& tokenizer,
                              const configs::GenerateConfig& config) {
  std::vector<int32_t> banned = {0,
                                 tokenizer.begin_token()};  // padding, <s> and roles are never said
  for (int role = 0; role < data::kRoles; ++role)
    banned.push_back(tokenizer.role_token(static_cast<data::Role>(role)));
  const model::Sampling sampling = {config.temperature, config.top_k, config.top_p, config.seed};
  std::vector<int32_t> said;
  std::vector<float> logits = generator.Feed(prompt);
  while (static_cast<int64_t>(said.size()) < config.max_tokens) {
    const int32_t token = model::SampleToken(logits, sampling, said.size(), banned);
    if (token == tokenizer.end_token()) break;
    said.push_back(token);
    if (generator.length() == generator.capacity()) break;
    logits = generator.Feed({token});
  }
  return said;
}

}  // namespace

int Generate(const configs::GenerateConfig& config) {
  TrainedRun run = OpenRun(config.run_root, config.run, config.checkpoint);
  const data::Dataset dataset = data::Dataset::Open(run.train.data.front());
  const data::Tokenizer tokenizer = data::Tokenizer::Load(dataset.tokenizer_path());
  configs::ModelConfig model_config = run.train.model;
  model_config.vocab_size = dataset.vocab_size();
  const trainer::DeviceChoice device = trainer::ChooseDevice(
      config.device, trainer::DevicesHere(core::DeviceKind::kCuda), 0, *comm::MakeSelf());
  tensor::Stream stream = trainer::MakeStream(device, core::ThreadsOf(config.threads));
  FitToDevice(stream, run.train);
  model::Transformer model(
      model_config, {.max_rows = 1, .with_gradients = false, .dtype = run.train.dtype}, stream);
  trainer::LoadWeights(run.checkpoint, model, stream);
  core::Log() << "checkpoint " << run.checkpoint.string() << " on " << device.text();

  std::vector<int32_t> prompt = config.chat.empty() ? TextPrompt(tokenizer, config.prompt)
                                                    : ChatPrompt(tokenizer, config.chat);
  FitPrompt(prompt, model_config.seq_len, config.max_tokens);
  model::Generator generator(model, stream);
  const std::vector<int32_t> said = Continue(generator, prompt, tokenizer, config);
  const std::string text = tokenizer.Decode(said);
  if (config.json) {
    std::cout << json{{"run", config.run},
                      {"checkpoint", run.checkpoint.string()},
                      {"prompt_tokens", prompt.size()},
                      {"completion_tokens", said.size()},
                      {"completion", text}}
                     .dump(-1, ' ', false, json::error_handler_t::replace)
              << "\n";
  } else {
    std::cout << (config.chat.empty() ? config.prompt : "") << text << "\n";
  }
  std::cout.flush();
  if (!std::cout) throw core::StorageError("cannot write to standard output");
  return 0;
}

}  // namespace moat::programs
