// Comparing a library's attention with our own.
#include "tensor/attention_verdict.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <sstream>

namespace moat::tensor {
namespace {

// Of the part that differs most: a gradient of values is often far larger than one of queries.
double Difference(const AttentionResult& r) {
  const auto width =
      static_cast<size_t>(std::accumulate(r.parts.begin(), r.parts.end(), int64_t{0}));
  double most = 0;
  size_t begin = 0;
  for (const int64_t part : r.parts) {
    const size_t end = begin + static_cast<size_t>(part);
    double squares = 0, of_own = 0;
    for (size_t slot = 0; slot < r.own.size(); slot += width) {
      for (size_t i = slot + begin; i < slot + end; ++i) {
        const double want = r.own[i], off = r.library[i] - want;
        squares += off * off;
        of_own += want * want;
      }
    }
    const double difference = std::sqrt(squares / of_own);
    if (std::isnan(difference)) return difference;
    most = std::max(most, difference);
    begin = end;
  }
  return most;
}

}  // namespace

std::string WhyNotOurs(const AttentionResult& r) {
  if (std::memcmp(r.library.data(), r.later.data(), r.library.size() * sizeof(float)) != 0) {
    return "has other bits each time";
  }
  const double difference = Difference(r);
  if (difference <= r.most) return "";
  std::ostringstream text;
  text << "differs from our own by " << difference << " (relative, at most " << r.most << ")";
  return text.str();
}

}  // namespace moat::tensor
