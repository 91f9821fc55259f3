// Tokenizer: SentencePiece BPE with byte fallback, lossless, plus moat's chat template.
//
// Control tokens: <pad>=0 <s>=1 <|end|>=2 then <|system|> <|user|> <|assistant|> <|tool|> <|text|>.
// They are never parsed out of text. The template: an interaction is <s>, then for each segment its
// role's control token, the text's tokens, <|end|>.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace moat::data {

enum class Role : uint8_t { kSystem = 0, kUser = 1, kAssistant = 2, kTool = 3, kText = 4 };
constexpr int kRoles = 5;
const char* Name(Role role);
Role ParseRole(std::string_view name);  // throws DataError

class Tokenizer {
 public:
  static Tokenizer Load(const std::filesystem::path& path);  // throws DataError
  Tokenizer(Tokenizer&&) noexcept;
  ~Tokenizer();

  int64_t vocab_size() const;
  std::string digest() const;  // hex SHA-256 over pieces, scores and kinds (not over the model
                               // file: it varies with threads)
  static std::string template_digest();  // of the control tokens and the template above

  // Lossless for every byte string: Decode(Encode(text)) == text. Thread-safe.
  std::vector<int32_t> Encode(std::string_view text) const;
  std::string Decode(const std::vector<int32_t>& tokens) const;  // control tokens decode to nothing

  int32_t begin_token() const { return 1; }
  int32_t end_token() const { return 2; }
  int32_t role_token(Role role) const { return 3 + static_cast<int32_t>(role); }
  // UTF-8 bytes of text that a token stands for; 0 for control tokens.
  int64_t ByteLength(int32_t token) const;
  // Whether it is a byte piece: one byte of what the vocabulary has no piece for.
  bool IsByte(int32_t token) const;

 private:
  struct State;
  explicit Tokenizer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace moat::data
