// Clocks.
#include "core/clock.h"

#include <charconv>
#include <chrono>
#include <ctime>

namespace moat::core {

double MonotonicSeconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int64_t WallMicroseconds() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string FormatUtc(int64_t micros) {
  const time_t seconds = micros / 1000000;
  tm parts;
  gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

std::optional<int64_t> ParseTime(const std::string& text) {
  const char* const end = text.data() + text.size();
  int64_t seconds = 0;
  const auto number = std::from_chars(text.data(), end, seconds);
  if (number.ec == std::errc() && number.ptr == end) return seconds;
  tm parts{};
  const char* const rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  if (rest == nullptr || *rest != '\0') return std::nullopt;
  return timegm(&parts);
}

}  // namespace moat::core
