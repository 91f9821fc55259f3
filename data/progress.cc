// Progress lines.
#include "data/progress.h"

#include "core/logging.h"
#include "core/units.h"

namespace moat::data {

void Progress::Report(int64_t interactions, int64_t bytes) {
  const double now = core::MonotonicSeconds();
  if (now - last_ < 2.0) return;
  last_ = now;
  const double seconds = now - start_;
  core::Log log;
  log << verb_ << " " << interactions << " interactions, "
      << core::FormatCount(static_cast<double>(interactions) / seconds) << " a second, "
      << core::Format(core::Bytes(bytes));
  const double share =
      total_bytes_ > 0 ? static_cast<double>(bytes) / static_cast<double>(total_bytes_)
      : total_ > 0     ? static_cast<double>(interactions) / static_cast<double>(total_)
                       : 0;
  if (share <= 0) return;
  log << ", " << static_cast<int>(100 * share) << "%, "
      << core::FormatSeconds(seconds * (1 - share) / share) << " to go";
}

}  // namespace moat::data
