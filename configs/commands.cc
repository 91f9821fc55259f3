// The table of commands.
#include "configs/commands.h"

#include <algorithm>

#include "core/error.h"

namespace moat::configs {

const std::vector<CommandInfo>& Commands() {
  static const auto* const commands = new std::vector<CommandInfo>{
      {kDataImport,
       "data import",
       "moat-data",
       "",
       0,
       0,
       "Turns chats, git histories and file trees into a data set: a tokenizer, shards, an index.",
       {"moat data import --in=my.chat.jsonl --out=datasets/mine",
        "moat data import --in=. --in=docs --out=datasets/repository --vocab_size=4096"}},
      {kDataStat,
       "data stat",
       "moat-data",
       "DIR",
       1,
       1,
       "Counts a data set, and measures simple baselines on its validation split.",
       {"moat data stat datasets/mine", "moat data stat datasets/mine --baselines --json"}},
      {kDataVerify,
       "data verify",
       "moat-data",
       "DIR",
       1,
       1,
       "Reads every byte of a data set and checks all checksums and digests.",
       {"moat data verify datasets/mine"}},
      {kDataShow,
       "data show",
       "moat-data",
       "DIR",
       1,
       1,
       "Prints interactions of a data set as text.",
       {"moat data show datasets/mine --split=validation --count=2"}},
      {kLaunch,
       "launch",
       "moat",
       "",
       0,
       0,
       "Starts a training run (or resumes it), watches it, and records how it ended.",
       {"moat launch --flagfile=configs/coffee.flags --data=datasets/mine --dp=2 --run=mine",
        "moat launch --flagfile=configs/coffee.flags --data=datasets/mine --run=mine --dry_run"}},
      {kTrain,
       "train",
       "moat-train",
       "",
       0,
       0,
       "One rank of a training run: what mpirun starts; alone, a run of one rank.",
       {"mpirun -np 2 moat-train --flagfile=runs/mine/run.flags"}},
      {kGenerate,
       "generate",
       "moat-model",
       "",
       0,
       0,
       "Lets a trained model continue a text or a dialog.",
       {"moat generate --run=mine --prompt='A cup of'",
        "moat generate --run=mine --chat=dialog.json --temperature=0"}},
      {kCheckpointVerify,
       "checkpoint verify",
       "moat-model",
       "DIR",
       1,
       1,
       "Reads every byte of a checkpoint and checks all checksums.",
       {"moat checkpoint verify runs/mine/ckpt/step-00000200"}},
      {kStatus,
       "status",
       "moat",
       "[NAME]",
       0,
       1,
       "Says how a run is doing: state, step, loss, the first failure.",
       {"moat status mine", "moat status mine --json"}},
      {kRuns, "runs", "moat", "", 0, 0, "Lists the runs with state, step and loss.", {"moat runs"}},
      {kStop,
       "stop",
       "moat",
       "NAME",
       1,
       1,
       "Asks a run to save and end; it exits 78 and is not started again by a scheduler.",
       {"moat stop mine"}},
      {kConfig,
       "config",
       "moat",
       "FILE",
       1,
       1,
       "Shows what a flagfile for training resolves to, and where each value comes from.",
       {"moat config --check configs/coffee.flags", "moat config configs/coffee.flags"}},
  };
  return *commands;
}

const CommandInfo& FindCommand(const std::string& name) {
  const auto& commands = Commands();
  const auto found = std::find_if(commands.begin(), commands.end(),
                                  [&](const CommandInfo& command) { return command.name == name; });
  MOAT_CHECK(found != commands.end(), "no command is named " + name);
  return *found;
}

}  // namespace moat::configs
