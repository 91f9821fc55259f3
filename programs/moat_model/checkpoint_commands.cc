// Which of the commands is meant.
#include "programs/moat_model/checkpoint_commands.h"

#include "programs/subcommands.h"

namespace moat::programs {

int RunCheckpointCommand(int argc, const char* const* argv) {
  return RunSubcommand("checkpoint",
                       {{"list", CheckpointList},
                        {"inspect", CheckpointInspect},
                        {"verify", CheckpointVerify},
                        {"diff", CheckpointDiff},
                        {"prune", CheckpointPrune},
                        {"copy", CheckpointCopy}},
                       argc, argv);
}

}  // namespace moat::programs
