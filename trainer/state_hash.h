// StateHash: one number for a run's whole state, whoever holds which part of it.
//
// Equal hashes say that two runs, on any grids, hold the same bits of weights and moments.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "comm/communicator.h"

namespace moat::trainer {

// Sum modulo 2^64, over every f32 element of every tensor, of a hash of (tensor's name, global
// index, bits): it does not depend on how the elements are cut or in which order they are added.
// `mine` are this rank's slices; together the ranks' slices name every element once. Collective;
// the same on all ranks.
uint64_t StateHash(const std::vector<checkpoint::SliceToSave>& mine, comm::Communicator& world);

}  // namespace moat::trainer
