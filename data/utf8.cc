// Well-formed UTF-8, RFC 3629 section 4, table of ranges.
#include "data/utf8.h"

#include <algorithm>
#include <cstdint>

namespace moat::data {
namespace {

bool IsPlain(std::string_view text, size_t length) {
  if (length == 0 || text[0] == '\0') return false;
  return !(length == 3 && text.compare(0, 3, "\xe2\x96\x81") == 0);
}

}  // namespace

size_t CharacterLength(std::string_view text) {
  if (text.empty()) return 0;
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  const uint8_t low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const uint8_t high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < low || byte(1) > high) return 0;
  for (size_t i = 2; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

size_t PlainPrefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t length = CharacterLength(text.substr(at));
    if (!IsPlain(text.substr(at), length)) break;
    at += length;
  }
  return at;
}

size_t AwkwardPrefix(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const size_t length = CharacterLength(text.substr(at));
    if (IsPlain(text.substr(at), length)) break;
    at += std::max<size_t>(length, 1);
  }
  return at;
}

size_t CutAtCharacter(std::string_view text, size_t limit) {
  if (text.size() <= limit) return text.size();
  for (size_t cut = limit; cut + 4 > limit && cut > 0; --cut) {
    if ((static_cast<uint8_t>(text[cut]) & 0xc0) != 0x80) return cut;
  }
  return std::max<size_t>(limit, 1);
}

}  // namespace moat::data
