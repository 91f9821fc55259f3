// UTF-8 text as the tokenizer sees it: what SentencePiece can take as it is, and what it cannot.
#pragma once

#include <cstddef>
#include <string_view>

namespace moat::data {

// Bytes of the well-formed UTF-8 character at the start of `text` (RFC 3629: no surrogates, no
// overlong forms, at most U+10FFFF), or 0 when there is none.
size_t CharacterLength(std::string_view text);

// The longest prefix made of well-formed characters other than NUL and U+2581 (SentencePiece writes
// a space as U+2581, so it cannot tell the two apart).
size_t PlainPrefix(std::string_view text);

// The longest prefix without a character that PlainPrefix would take.
size_t AwkwardPrefix(std::string_view text);

// The largest cut <= limit that does not fall inside a well-formed character. At least 1 for a
// text that is not empty.
size_t CutAtCharacter(std::string_view text, size_t limit);

}  // namespace moat::data
