// Imports chat JSONL: one object a line with `messages` and optional `id`, `user`, `time`,
// `weight`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "data/import_sink.h"

namespace moat::data {

// One line as an interaction. Throws DataError with the reason it is malformed. `name` gives
// records without an id one ("file:line").
//
// Weights: a message's own `weight` (default 1) is its segment's; a record's `weight` falls on the
// last assistant message, and the other assistant messages weigh 0 unless they say otherwise.
Interaction ParseChatRecord(const std::string& line, const std::string& name);

// Unix microseconds of an ISO 8601 time ("2026-03-01T12:00:00Z", with fraction or offset; no
// offset means UTC). Throws DataError.
int64_t ParseIsoTime(const std::string& text);

// Reads a file line by line; blank lines do not count. Malformed lines go to the sink's quarantine.
void ImportChatRecords(const std::filesystem::path& file, ImportSink* sink);

}  // namespace moat::data
