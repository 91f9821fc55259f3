// glog, told to write to stderr only.
#include "core/logging.h"

#include <glog/logging.h>

namespace moat::core {
namespace {

std::string g_prefix;  // set once, before any thread starts

}  // namespace

void StartLogging(const char* program, int rank) {
  FLAGS_logtostderr = true;
  FLAGS_log_prefix = false;
  if (!google::IsGoogleLoggingInitialized()) google::InitGoogleLogging(program);
  g_prefix = rank < 0 ? "" : "[rank " + std::to_string(rank) + "] ";
}

Log::~Log() {
  switch (level_) {
    case kInfo:
      LOG(INFO) << "moat: " << g_prefix << text_.str();
      break;
    case kWarning:
      LOG(WARNING) << "moat: " << g_prefix << "warning: " << text_.str();
      break;
    case kError:
      LOG(ERROR) << "moat: " << g_prefix << "error: " << text_.str();
      break;
  }
}

}  // namespace moat::core
