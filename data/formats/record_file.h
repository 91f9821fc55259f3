// Imports a file of records: JSON, one a line or in an array; tables; lines of text.
#pragma once

#include <string>
#include <vector>

#include "configs/import_config.h"
#include "data/formats/file_kind.h"
#include "data/import_sink.h"

namespace moat::data::formats {

// One record as it stands in a JSONL file. `name` gives records without an id one ("file:line").
// Throws DataError with the reason it is malformed.
std::vector<Interaction> ParseRecord(const std::string& text, const configs::RecordConfig& config,
                                     const std::string& name);

// Reads `path` (or standard input) to its end; memory does not depend on its length. The shape of
// its first good record is that of the file. Malformed records go to the sink's quarantine. Throws
// DataError for a file that cannot be decompressed or a table without a header.
// Records are parsed with all `threads`; the sink gets them in the file's order, one call at a
// time, from a thread of its own for the most part. REQUIRES: HoldsRecords(kind), and kind is not
// kTokens.
void ImportRecords(const std::string& path, FileKind kind, const configs::RecordConfig& config,
                   int threads, ImportSink* sink);

}  // namespace moat::data::formats
