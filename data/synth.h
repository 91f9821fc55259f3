// `moat data synth`: invented interactions, any number of them, for tests of scale.
//
// Record n is a pure function of (seed, n) and the shares asked for, so that any machine writes the
// same file. The mix: orders with tool calls, support chats, code suggestions with an outcome,
// requests answered twice (preference pairs), notes; skewed users, rising times, other scripts, the
// odd address or phone number. About 250 bytes of text each.
#pragma once

#include <cstdint>
#include <string>

#include "configs/synth_config.h"

namespace moat::data {

// Record `number` as a line of chat JSONL, with its line feed.
std::string SynthLine(const configs::SynthConfig& config, int64_t number);

// Writes all records to config.out; a file appears under its name when it is complete. Progress
// goes to the log. Throws StorageError. Returns bytes.
int64_t WriteSynth(const configs::SynthConfig& config);

}  // namespace moat::data
