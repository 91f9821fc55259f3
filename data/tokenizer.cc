// The tokenizer over SentencePiece: what SentencePiece would lose goes through byte pieces instead.
#include "data/tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>

#include "core/digest.h"
#include "core/durable_file.h"
#include "core/error.h"
#include "data/utf8.h"

namespace moat::data {
namespace {

constexpr std::array<const char*, 8> kControlTokens = {
    "<pad>", "<s>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>", "<|text|>"};
constexpr std::string_view kTemplate =
    "<s> ( <|role|> text <|end|> )+ ; roles system user assistant tool text";
constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581: SentencePiece's space

std::string BytePiece(int byte) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "<0x%02X>", byte);
  return text.data();
}

std::string PieceText(const std::string& piece) {
  std::string text;
  for (size_t i = 0; i < piece.size();) {
    if (piece.compare(i, kSpaceMark.size(), kSpaceMark) == 0) {
      text += ' ';
      i += kSpaceMark.size();
    } else {
      text += piece[i++];
    }
  }
  return text;
}

}  // namespace

const char* Name(Role role) {
  constexpr std::array<const char*, kRoles> names = {"system", "user", "assistant", "tool", "text"};
  return names[static_cast<size_t>(role)];
}

Role ParseRole(std::string_view name) {
  for (int i = 0; i < kRoles; ++i) {
    if (name == Name(static_cast<Role>(i))) return static_cast<Role>(i);
  }
  throw core::DataError("unknown role \"" + std::string(name.substr(0, 40)) +
                        "\": expected system, user, assistant, tool or text");
}

struct Tokenizer::State {
  sentencepiece::SentencePieceProcessor processor;
  std::vector<std::string> texts;  // of each token; "" for control tokens
  std::array<int32_t, 256> byte_tokens{};
  std::string digest;

  void Check(const std::string& where) const;
  void Fill();
  void AppendBytes(std::string_view bytes, std::vector<int32_t>* tokens) const;
  void AppendText(std::string_view text, std::vector<int32_t>* tokens) const;
};

void Tokenizer::State::Check(const std::string& where) const {
  const std::string advice =
      "; train one with `moat data import` and no --tokenizer, or give a SentencePiece model with "
      "moat's control tokens and byte fallback";
  for (size_t i = 0; i < kControlTokens.size(); ++i) {
    const int id = static_cast<int>(i);
    const std::string found = id < processor.GetPieceSize() ? processor.IdToPiece(id) : "nothing";
    if (found != kControlTokens[i] || !processor.IsControl(id)) {
      throw core::DataError(where + ": expected control token " + kControlTokens[i] + " as piece " +
                            std::to_string(id) + ", found " + found + advice);
    }
  }
  for (int byte = 0; byte < 256; ++byte) {
    if (!processor.IsByte(processor.PieceToId(BytePiece(byte)))) {
      throw core::DataError(where + ": no byte piece " + BytePiece(byte) +
                            ", so it could lose text" + advice);
    }
  }
}

void Tokenizer::State::Fill() {
  for (int byte = 0; byte < 256; ++byte) {
    byte_tokens[static_cast<size_t>(byte)] = processor.PieceToId(BytePiece(byte));
  }
  texts.resize(static_cast<size_t>(processor.GetPieceSize()));
  core::Sha256 hash;
  for (int id = 0; id < processor.GetPieceSize(); ++id) {
    const std::string& piece = processor.IdToPiece(id);
    const bool special = processor.IsControl(id) || processor.IsUnknown(id);
    const char kind = special ? 'c' : processor.IsByte(id) ? 'b' : 'n';
    if (kind == 'n') texts[static_cast<size_t>(id)] = PieceText(piece);
    const uint32_t score = std::bit_cast<uint32_t>(processor.GetScore(id));
    hash.Update(piece + '\0' + kind);
    hash.Update(&score, sizeof score);
  }
  for (int byte = 0; byte < 256; ++byte) {
    texts[static_cast<size_t>(byte_tokens[static_cast<size_t>(byte)])] =
        std::string(1, static_cast<char>(byte));
  }
  digest = core::Hex(hash.Finish());
}

void Tokenizer::State::AppendBytes(std::string_view bytes, std::vector<int32_t>* tokens) const {
  for (const char c : bytes) tokens->push_back(byte_tokens[static_cast<uint8_t>(c)]);
}

// Text that SentencePiece can represent. A model from elsewhere may still normalise it, so what
// does not come back as it was goes through bytes.
void Tokenizer::State::AppendText(std::string_view text, std::vector<int32_t>* tokens) const {
  std::vector<int> ids;
  const auto status = processor.Encode(absl::string_view(text.data(), text.size()), &ids);
  size_t at = 0;
  bool same = status.ok();
  for (size_t i = 0; same && i < ids.size(); ++i) {
    const std::string& piece = texts[static_cast<size_t>(ids[i])];
    same = !piece.empty() && text.compare(at, piece.size(), piece) == 0;
    at += piece.size();
  }
  if (same && at == text.size()) {
    tokens->insert(tokens->end(), ids.begin(), ids.end());
  } else {
    AppendBytes(text, tokens);
  }
}

Tokenizer::Tokenizer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer::~Tokenizer() = default;

Tokenizer Tokenizer::Load(const std::filesystem::path& path) {
  const std::string model = core::ReadWholeFile(path);
  auto state = std::make_unique<State>();
  const auto status =
      state->processor.LoadFromSerializedProto(absl::string_view(model.data(), model.size()));
  if (!status.ok()) {
    throw core::DataError(path.string() + ": expected a SentencePiece model (" + status.ToString() +
                          ")");
  }
  state->Check(path.string());
  state->Fill();
  return Tokenizer(std::move(state));
}

int64_t Tokenizer::vocab_size() const { return static_cast<int64_t>(state_->texts.size()); }

std::string Tokenizer::digest() const { return state_->digest; }

std::string Tokenizer::template_digest() {
  std::string text(kTemplate);
  for (const char* token : kControlTokens) text += std::string("\n") + token;
  return core::Hex(core::Sha256Of(text));
}

std::vector<int32_t> Tokenizer::Encode(std::string_view text) const {
  std::vector<int32_t> tokens;
  while (!text.empty()) {
    const size_t plain = PlainPrefix(text);
    if (plain > 0) state_->AppendText(text.substr(0, plain), &tokens);
    text.remove_prefix(plain);
    const size_t awkward = AwkwardPrefix(text);
    state_->AppendBytes(text.substr(0, awkward), &tokens);
    text.remove_prefix(awkward);
  }
  return tokens;
}

std::string Tokenizer::Decode(const std::vector<int32_t>& tokens) const {
  std::string text;
  for (const int32_t token : tokens) {
    if (token < 0 || token >= vocab_size()) {
      throw core::DataError("token " + std::to_string(token) + " is outside the vocabulary of " +
                            std::to_string(vocab_size()));
    }
    text += state_->texts[static_cast<size_t>(token)];
  }
  return text;
}

int64_t Tokenizer::ByteLength(int32_t token) const {
  return static_cast<int64_t>(state_->texts.at(static_cast<size_t>(token)).size());
}

bool Tokenizer::IsByte(int32_t token) const { return state_->processor.IsByte(token); }

}  // namespace moat::data
