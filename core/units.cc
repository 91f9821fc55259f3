// Units printed for people.
#include "core/units.h"

#include <cmath>
#include <cstdio>

namespace moat::core {
namespace {

std::string Printed(const char* format, double value, const char* unit) {
  char text[64];
  std::snprintf(text, sizeof text, format, value, unit);
  return text;
}

}  // namespace

std::string Format(Bytes bytes) {
  const char* units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double value = static_cast<double>(bytes.value);
  int unit = 0;
  while (std::fabs(value) >= 1024 && unit < 5) {
    value /= 1024;
    ++unit;
  }
  return Printed(unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

std::string FormatCount(double count) {
  const char* units[] = {"", "k", "M", "G", "T"};
  int unit = 0;
  while (std::fabs(count) >= 1000 && unit < 4) {
    count /= 1000;
    ++unit;
  }
  return Printed(unit == 0 || count >= 100 ? "%.0f%s" : "%.1f%s", count, units[unit]);
}

std::string FormatSeconds(double seconds) {
  char text[64];
  if (seconds < 60) {
    std::snprintf(text, sizeof text, "%.1fs", seconds);
    return text;
  }
  const int64_t whole = std::llround(seconds);
  if (whole < 3600) {
    std::snprintf(text, sizeof text, "%dm%02ds", static_cast<int>(whole / 60),
                  static_cast<int>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%lldh%02dm", static_cast<long long>(whole / 3600),
                  static_cast<int>(whole % 3600 / 60));
  }
  return text;
}

}  // namespace moat::core
