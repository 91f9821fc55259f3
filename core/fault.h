// Faults on request: a test kills or fails a rank at a named point of a protocol.
//
//   MOAT_FAULT=checkpoint.before_rename:kill:0 moat-train ...
//
// Format: point:action[:rank[:marker]]; without a rank, or with "*", it strikes every rank.
// Actions: "kill" (SIGKILL, as a lost node), "throw" (StorageError), "slow" (takes a tenth of a
// second), and two ways to hang: "stop" (SIGSTOP) and "loop" (for ever). With a marker it strikes
// once: whoever creates the file of that name, so that a run started again goes on. Costs one
// getenv, so points are for protocols and phases, not for inner loops.
#pragma once

namespace moat::core {

void FaultPoint(const char* point, int rank = 0);

}  // namespace moat::core
